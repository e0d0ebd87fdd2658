// oneDNN's C API as Debian's libdnnl-dev, Ubuntu's libdnnl-dev and PyPI's onednn-devel install it.
#include <oneapi/dnnl/dnnl.h>
