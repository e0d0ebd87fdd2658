// PCRE2 names its functions by code unit width; the tokenizers work on UTF-8 bytes.
#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
