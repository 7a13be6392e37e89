/* MD5, SHA-1 and SHA-256 of the same bytes, block by block and step by step beside each other.
 *
 * Each of the three is one chain of dependent steps that leaves most of a core idle, MD5 above all; taken together they cost
 * little more than MD5 alone. Needs the SHA extensions (Intel Goldmont, Ice Lake and later; AMD Zen and later).
 */
#ifndef HASHWARD_DIGESTS_H
#define HASHWARD_DIGESTS_H

#include <stddef.h>
#include <stdint.h>

#define HW_BLOCK_BYTES 64
#define HW_MD5_BYTES 16
#define HW_SHA1_BYTES 20
#define HW_SHA256_BYTES 32

typedef struct {
    uint32_t md5[4], sha1[5], sha256[8];
    uint64_t bytes;                  /* taken so far */
    uint8_t block[2 * HW_BLOCK_BYTES]; /* those that fill no block yet, and their padding */
} hw_digests;

int hw_digests_usable(void);
void hw_digests_begin(hw_digests *digests);
void hw_digests_update(hw_digests *digests, const uint8_t *bytes, size_t count);
/* Leaves `digests` as it is. */
void hw_digests_end(const hw_digests *digests, uint8_t *md5, uint8_t *sha1, uint8_t *sha256);

#endif
