// Memory for a function without a C library: an allocator, and what compilers expect to be there.
//
// Free blocks are in one list, in order of their addresses, and grow together with their neighbours. A function has some
// dozens of blocks, so the walk through the list is short. What the memory limit of function.toml does not allow is NULL.

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define PAGE_BYTES 65536u

// Goes before each block. Blocks are counted in headers, so that each one is aligned as a header is: to 16 bytes.
typedef struct header {
  struct header *next;
  size_t headers; // of this block, with this one
  uint64_t unused;
} header;

// Where the linker's own data ends.
extern unsigned char __heap_base;

static header *first_free = NULL;
static uintptr_t heap_end = 0; // not used up to here, and no further

// Puts a block among the free ones and joins it with its neighbours.
static void give_back(header *block) {
  header *before = NULL, *after = first_free;
  while (after != NULL && after < block) {
    before = after;
    after = after->next;
  }
  block->next = after;
  if (after != NULL && block + block->headers == after) {
    block->headers += after->headers;
    block->next = after->next;
  }
  if (before == NULL) {
    first_free = block;
  } else if (before + before->headers == block) {
    before->headers += block->headers;
    before->next = block->next;
  } else {
    before->next = block;
  }
}

// Makes at least so many more headers free; 0 when the memory limit is reached.
static int grow(size_t headers) {
  uintptr_t memory_end = (uintptr_t)__builtin_wasm_memory_size(0) * PAGE_BYTES;
  if (heap_end == 0) {
    heap_end = ((uintptr_t)&__heap_base + sizeof(header) - 1) & ~(uintptr_t)(sizeof(header) - 1);
  }
  size_t bytes = headers * sizeof(header);
  if (memory_end - heap_end < bytes) {
    size_t pages = (bytes - (memory_end - heap_end) + PAGE_BYTES - 1) / PAGE_BYTES;
    if (__builtin_wasm_memory_grow(0, pages) == SIZE_MAX) {
      return 0;
    }
    memory_end += pages * PAGE_BYTES;
  }
  header *block = (header *)heap_end;
  block->headers = (memory_end - heap_end) / sizeof(header);
  heap_end = memory_end;
  give_back(block);
  return 1;
}

void *malloc(size_t bytes) {
  if (bytes > SIZE_MAX / 2) {
    return NULL;
  }
  size_t headers = (bytes + sizeof(header) - 1) / sizeof(header) + 1;
  do {
    for (header **link = &first_free; *link != NULL; link = &(*link)->next) {
      header *block = *link;
      if (block->headers < headers) {
        continue;
      }
      if (block->headers == headers) {
        *link = block->next;
      } else {
        header *rest = block + headers;
        rest->next = block->next;
        rest->headers = block->headers - headers;
        *link = rest;
        block->headers = headers;
      }
      return block + 1;
    }
  } while (grow(headers));
  return NULL;
}

void free(void *block) {
  if (block != NULL) {
    give_back((header *)block - 1);
  }
}

void *calloc(size_t count, size_t bytes) {
  size_t all;
  if (__builtin_mul_overflow(count, bytes, &all)) {
    return NULL;
  }
  void *block = malloc(all);
  return block == NULL ? NULL : memset(block, 0, all);
}

void *realloc(void *block, size_t bytes) {
  if (block == NULL) {
    return malloc(bytes);
  }
  size_t had = (((header *)block - 1)->headers - 1) * sizeof(header);
  if (bytes <= had) {
    return block;
  }
  void *moved = malloc(bytes);
  if (moved != NULL) {
    memcpy(moved, block, had);
    free(block);
  }
  return moved;
}

void abort(void) {
  __builtin_trap();
}

// One instruction each: memory.copy and memory.fill.

void *memcpy(void *restrict to, const void *restrict from, size_t bytes) {
  return __builtin_memcpy(to, from, bytes);
}

void *memmove(void *to, const void *from, size_t bytes) {
  return __builtin_memmove(to, from, bytes);
}

void *memset(void *to, int byte, size_t bytes) {
  return __builtin_memset(to, byte, bytes);
}

int memcmp(const void *left, const void *right, size_t bytes) {
  const unsigned char *a = left, *b = right;
  for (size_t i = 0; i < bytes; i++) {
    if (a[i] != b[i]) {
      return a[i] < b[i] ? -1 : 1;
    }
  }
  return 0;
}

void *memchr(const void *bytes, int byte, size_t length) {
  const unsigned char *at = bytes;
  for (size_t i = 0; i < length; i++) {
    if (at[i] == (unsigned char)byte) {
      return (void *)(at + i);
    }
  }
  return NULL;
}

size_t strlen(const char *text) {
  size_t length = 0;
  while (text[length] != '\0') {
    length++;
  }
  return length;
}

int strcmp(const char *left, const char *right) {
  return strncmp(left, right, SIZE_MAX);
}

int strncmp(const char *left, const char *right, size_t length) {
  for (size_t i = 0; i < length; i++) {
    unsigned char a = (unsigned char)left[i], b = (unsigned char)right[i];
    if (a != b) {
      return a < b ? -1 : 1;
    }
    if (a == '\0') {
      return 0;
    }
  }
  return 0;
}
