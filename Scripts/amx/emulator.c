// SPDX-License-Identifier: Apache-2.0
// Makes oneDNN see a processor with AMX, and executes its tile instructions: for testing bits.
//
// Preloaded by run.sh. The library's cpuid instructions (SITES, their places in the file) become ud2,
// whose signal answers as a Xeon with AMX would; the tile instructions raise the same signal where
// the processor has none. Products of bf16 follow what is published of TDPBF16PS: even and odd
// elements are summed apart, both added to the tile last, denormals are 0. It was never compared
// with a processor that has AMX, element by element; MixedBatchTests fails in as many places on both.
#define _GNU_SOURCE
#include <cpuid.h>
#include <errno.h>
#include <immintrin.h>
#include <link.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

static const long sites[] = {SITES};
static uintptr_t library;

// What a thread's tile registers hold.
#define THREAD_LOCAL static __thread __attribute__((tls_model("initial-exec")))
THREAD_LOCAL uint8_t configuration[64];
THREAD_LOCAL float tiles[8][16][16];

// --- What the processor says of itself ---------------------------------------------------------

// The kernel is asked for permission to use tiles: it is given.
long syscall(long number, ...) {
  va_list list;
  va_start(list, number);
  long a[6];
  for (int i = 0; i < 6; ++i) a[i] = va_arg(list, long);
  va_end(list);
  enum { GET_PERMITTED = 0x1022, REQUEST = 0x1023 };
  if (number == SYS_arch_prctl && a[0] == GET_PERMITTED) {
    *(unsigned long *)a[1] = 1ul << 18 | 1ul << 17 | 0xe7;
    return 0;
  }
  if (number == SYS_arch_prctl && a[0] == REQUEST) return 0;
  long result;
  register long r10 __asm__("r10") = a[3];
  register long r8 __asm__("r8") = a[4];
  register long r9 __asm__("r9") = a[5];
  __asm__ volatile("syscall"
                   : "=a"(result)
                   : "a"(number), "D"(a[0]), "S"(a[1]), "d"(a[2]), "r"(r10), "r"(r8), "r"(r9)
                   : "rcx", "r11", "memory");
  if (result >= 0 || result <= -4096) return result;
  errno = (int)-result;
  return -1;
}

static void answer_cpuid(greg_t *registers) {
  const unsigned leaf = (unsigned)registers[REG_RAX], part = (unsigned)registers[REG_RCX];
  unsigned a, b, c, d;
  __cpuid_count(leaf, part, a, b, c, d);
  if (leaf == 0) {
    if (a < 0x1D) a = 0x1E;
    b = 0x756e6547, d = 0x49656e69, c = 0x6c65746e;  // GenuineIntel
  } else if (leaf == 1) {
    a = 0x000806F8;  // Sapphire Rapids
  } else if (leaf == 7 && part == 0) {
    d |= 1u << 22 | 1u << 24 | 1u << 25;  // AMX-BF16, AMX-TILE, AMX-INT8
    if (a < 1) a = 1;
  } else if (leaf == 7 && part == 1) {
    a |= 1u << 5 | 1u << 4;  // AVX512-BF16, AVX-VNNI
  } else if (leaf == 4) {
    const char *asked = getenv("AMX_L2_KB");
    const unsigned second = asked != NULL ? (unsigned)atoi(asked) : 2048;
    // The data and the code cache of 48 and 32 kB, the second level, the third of 105 MB.
    const unsigned type[] = {1, 2, 3, 3, 0}, level[] = {1, 1, 2, 3, 0}, ways[] = {12, 8, 16, 15, 1};
    const unsigned kilobytes[] = {48, 32, second, 105 * 1024, 0};
    const unsigned i = part > 4 ? 4 : part, sharing = i == 3 ? 63 : 1;
    a = type[i] ? type[i] | level[i] << 5 | sharing << 14 : 0;
    b = type[i] ? (ways[i] - 1) << 22 | 63 : 0;
    c = type[i] ? kilobytes[i] * 1024 / 64 / ways[i] - 1 : 0;
    d = 0;
  } else if (leaf == 0xB) {  // two threads a core, 64 in all
    a = part == 0 ? 1 : part == 1 ? 6 : 0;
    b = part == 0 ? 2 : part == 1 ? 64 : 0;
    c = part == 0 ? 1 << 8 : part == 1 ? 2 << 8 | 1 : part;
    d = 0;
  } else if (leaf == 0x1D) {  // eight tiles of 16 rows of 64 bytes
    a = part == 0 ? 1 : 1024 << 16 | 8192;
    b = part == 0 ? 0 : 8 << 16 | 64;
    c = part == 0 ? 0 : 16;
    d = 0;
  }
  registers[REG_RAX] = a;
  registers[REG_RBX] = b;
  registers[REG_RCX] = c;
  registers[REG_RDX] = d;
}

// --- Tiles -------------------------------------------------------------------------------------

static int rows_of(int tile) { return configuration[48 + tile]; }

static int bytes_of(int tile) { return *(uint16_t *)(configuration + 16 + 2 * tile); }

static void give_up(const char *what) {
  dprintf(2, "AMX emulator: %s\n", what);
  abort();
}

// C (m, n) += A (m, 2k) · B (k, 2n), B in pairs of rows.
static void tdpbf16ps(int c, int a, int b) {
  const int m = rows_of(c), k = bytes_of(a) / 4, n = bytes_of(c) / 4;
  if (rows_of(a) != m || rows_of(b) != k || bytes_of(b) != bytes_of(c) || m * k * n == 0) {
    give_up("the tiles of a product do not fit");
  }
  const unsigned state = _mm_getcsr();
  _mm_setcsr(0x1f80 | 0x8040);  // denormals are 0, to nearest, no exceptions
  const __m512i high = _mm512_set1_epi32((int)0xffff0000);
  for (int i = 0; i < m; ++i) {
    __m512 even = _mm512_setzero_ps(), odd = even;
    const uint32_t *row = (const uint32_t *)tiles[a][i];
    for (int l = 0; l < k; ++l) {
      const __m512i pairs = _mm512_loadu_si512(tiles[b][l]);
      const __m512i first = _mm512_set1_epi32((int)(row[l] << 16));
      const __m512i second = _mm512_set1_epi32((int)(row[l] & 0xffff0000u));
      even = _mm512_fmadd_ps(
          _mm512_castsi512_ps(first), _mm512_castsi512_ps(_mm512_slli_epi32(pairs, 16)), even);
      odd = _mm512_fmadd_ps(
          _mm512_castsi512_ps(second), _mm512_castsi512_ps(_mm512_and_si512(pairs, high)), odd);
    }
    const __m512 sum = _mm512_add_ps(_mm512_loadu_ps(tiles[c][i]), _mm512_add_ps(even, odd));
    _mm512_storeu_ps(tiles[c][i], _mm512_maskz_mov_ps((__mmask16)((1u << n) - 1), sum));
  }
  for (int i = m; i < 16; ++i) memset(tiles[c][i], 0, 64);
  _mm_setcsr(state);
}

static void load_or_store(int tile, char *address, long stride, int stores) {
  const int rows = rows_of(tile), bytes = bytes_of(tile);
  if (rows == 0 || bytes == 0) give_up("a tile is used that is not configured");
  for (int i = 0; i < rows; ++i) {
    if (stores) {
      memcpy(address + i * stride, tiles[tile][i], (size_t)bytes);
    } else {
      memcpy(tiles[tile][i], address + i * stride, (size_t)bytes);
      memset((char *)tiles[tile][i] + bytes, 0, (size_t)(64 - bytes));
    }
  }
  for (int i = rows; i < 16 && !stores; ++i) memset(tiles[tile][i], 0, 64);
}

static uintptr_t value_of(const greg_t *registers, int number) {
  static const int places[16] = {REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP,
                                 REG_RSI, REG_RDI, REG_R8,  REG_R9,  REG_R10, REG_R11,
                                 REG_R12, REG_R13, REG_R14, REG_R15};
  return (uintptr_t)registers[places[number]];
}

// Executes the tile instruction at the instruction pointer; 0 where there is none.
static int emulate(greg_t *registers) {
  const uint8_t *p = (const uint8_t *)registers[REG_RIP];
  if (p[0] != 0xC4) return 0;  // VEX with three bytes
  const int high_reg = !(p[1] & 0x80), high_index = !(p[1] & 0x40), high_base = !(p[1] & 0x20);
  const int map = p[1] & 31, is_wide = p[2] >> 7, third = (~p[2] >> 3) & 15;
  const int is_long = (p[2] >> 2) & 1, prefix = p[2] & 3;
  if (map != 2 || is_wide || is_long) return 0;
  const int operation = p[3], modrm = p[4], mode = modrm >> 6;
  const int tile = (modrm >> 3) & 7, rm = modrm & 7;
  p += 5;
  (void)high_reg;  // there are eight tiles only
  if (mode == 3) {
    if (operation == 0x49 && prefix == 3) {  // tilezero
      memset(tiles[tile], 0, 1024);
    } else if (operation == 0x49 && prefix == 0 && modrm == 0xC0) {  // tilerelease
      memset(configuration, 0, 64);
      memset(tiles, 0, sizeof tiles);
    } else if (operation == 0x5C && prefix == 2) {
      tdpbf16ps(tile, rm, third);
    } else {
      return 0;
    }
    registers[REG_RIP] = (greg_t)p;
    return 1;
  }
  int base = rm | high_base << 3, has_base = 1;
  long stride = 0;
  if (rm == 4) {
    const int sib = *p++, index = ((sib >> 3) & 7) | high_index << 3;
    base = (sib & 7) | high_base << 3;
    if (index != 4) stride = (long)(value_of(registers, index) << (sib >> 6));
    has_base = (sib & 7) != 5 || mode != 0;
  } else if (rm == 5 && mode == 0) {
    return 0;
  }
  uintptr_t address = has_base ? value_of(registers, base) : 0;
  if (mode == 1) address += (uintptr_t)(long)(int8_t)*p++;
  if (mode == 2 || !has_base) {
    int32_t distance;
    memcpy(&distance, p, 4);
    address += (uintptr_t)(long)distance;
    p += 4;
  }
  if (operation == 0x49 && prefix == 0) {  // ldtilecfg
    memcpy(configuration, (void *)(address + (uintptr_t)stride), 64);
    if (configuration[0] == 0) memset(configuration, 0, 64);
    memset(tiles, 0, sizeof tiles);
  } else if (operation == 0x49 && prefix == 1) {  // sttilecfg
    memcpy((void *)(address + (uintptr_t)stride), configuration, 64);
  } else if (operation == 0x4B) {  // tileloadd, tileloaddt1, tilestored
    load_or_store(tile, (char *)address, stride, prefix == 2);
  } else {
    return 0;
  }
  registers[REG_RIP] = (greg_t)p;
  return 1;
}

// --- The signal --------------------------------------------------------------------------------

static void on_illegal_instruction(int number, siginfo_t *info, void *context) {
  (void)info;
  greg_t *registers = ((ucontext_t *)context)->uc_mcontext.gregs;
  const uintptr_t place = (uintptr_t)registers[REG_RIP];
  for (size_t i = 0; library != 0 && i < sizeof sites / sizeof *sites; ++i) {
    if (place == library + (uintptr_t)sites[i]) {
      answer_cpuid(registers);
      registers[REG_RIP] += 2;
      return;
    }
  }
  int count = 0;
  while (emulate(registers)) ++count;  // several behind each other with one signal
  if (count == 0) signal(number, SIG_DFL);  // somebody else's: it comes again, and ends the process
}

static int find_library(struct dl_phdr_info *info, size_t size, void *unused) {
  (void)size, (void)unused;
  if (strstr(info->dlpi_name, "libdnnl.so") != NULL) library = info->dlpi_addr;
  return 0;
}

__attribute__((constructor)) static void start(void) {
  dl_iterate_phdr(find_library, NULL);
  if (library == 0) return;  // a program without the library, on the way to one with it
  struct sigaction action = {
      .sa_sigaction = on_illegal_instruction, .sa_flags = SA_SIGINFO | SA_NODEFER};
  sigaction(SIGILL, &action, NULL);
  for (size_t i = 0; i < sizeof sites / sizeof *sites; ++i) {
    uint8_t *code = (uint8_t *)(library + (uintptr_t)sites[i]);
    if (code[0] != 0x0f || code[1] != 0xa2) give_up("this is not the library that was read");
    void *page = (void *)((uintptr_t)code & ~4095ul);
    mprotect(page, 8192, PROT_READ | PROT_WRITE | PROT_EXEC);
    code[1] = 0x0b;
    mprotect(page, 8192, PROT_READ | PROT_EXEC);
  }
}
