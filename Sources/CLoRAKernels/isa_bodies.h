// Includes every kernel body for one instruction set and gathers them in its table.
// The including file defines LK_TABLE (the table's symbol) and LK_ISA_NAME.
#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "kernel_table.h"
#include "float_types_body.h"
#include "convert_body.h"

const lk_table LK_TABLE = {
    .name = LK_ISA_NAME,
    .convert = convert,
};
