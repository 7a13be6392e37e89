/* See digests.h. Sources: RFC 1321, FIPS 180-4, and Intel's description of the SHA extensions. */
#include "digests.h"

#include <string.h>

#if (defined(__GNUC__) || defined(__clang__)) && defined(__x86_64__)

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("sha,sse4.1,ssse3"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("sha,sse4.1,ssse3")
#endif

#include <cpuid.h>
#include <immintrin.h>

static const uint32_t sha256_constant[64] __attribute__((aligned(16))) = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};

/* A step of MD5. What does not wait for the step before is summed first: the chain is four or five operations long. */
#define MD5_STEP(a, b, early, late, s) \
    a += (early);                      \
    a += (late);                       \
    a = (a << s | a >> (32 - s)) + b;
#define MD5_1(a, b, c, d, k, s, t) MD5_STEP(a, b, word[k] + t, d ^ (b & (c ^ d)), s)
#define MD5_2(a, b, c, d, k, s, t) MD5_STEP(a, b, word[k] + t + (c & ~d), b & d, s)
#define MD5_3(a, b, c, d, k, s, t) MD5_STEP(a, b, word[k] + t, b ^ (c ^ d), s)
#define MD5_4(a, b, c, d, k, s, t) MD5_STEP(a, b, word[k] + t, c ^ (b | ~d), s)

/* Four steps of SHA-256, whose words are W[g mod 4] and the three before. */
#define SHA256_WORDS(g)                                                                                              \
    w2[(g) & 3] = _mm_sha256msg2_epu32(_mm_add_epi32(_mm_sha256msg1_epu32(w2[(g) & 3], w2[((g) + 1) & 3]),           \
                                                     _mm_alignr_epi8(w2[((g) + 3) & 3], w2[((g) + 2) & 3], 4)),      \
                                       w2[((g) + 3) & 3]);
#define SHA256_STEPS(g)                                                                                              \
    sum = _mm_add_epi32(w2[(g) & 3], _mm_load_si128((const __m128i *)(sha256_constant + 4 * (g))));                  \
    cdgh = _mm_sha256rnds2_epu32(cdgh, abef, sum);                                                                   \
    abef = _mm_sha256rnds2_epu32(abef, cdgh, _mm_shuffle_epi32(sum, 0x0e));

/* Four steps of SHA-1. */
#define SHA1_WORDS(g)                                                                                                \
    w1[(g) & 3] = _mm_sha1msg2_epu32(_mm_xor_si128(_mm_sha1msg1_epu32(w1[(g) & 3], w1[((g) + 1) & 3]), w1[((g) + 2) & 3]), \
                                     w1[((g) + 3) & 3]);
#define SHA1_STEPS(g)                                                                                                \
    e = (g) ? _mm_sha1nexte_epu32(e, w1[(g) & 3]) : _mm_add_epi32(e, w1[0]);                                         \
    next = abcd, abcd = _mm_sha1rnds4_epu32(abcd, e, (g) / 5), e = next;

static void take_blocks(hw_digests *to, const uint8_t *bytes, size_t blocks)
{
    const __m128i by_word = _mm_set_epi64x(0x0c0d0e0f08090a0bll, 0x0405060700010203ll);
    const __m128i backwards = _mm_set_epi64x(0x0001020304050607ll, 0x08090a0b0c0d0e0fll);
    uint32_t a = to->md5[0], b = to->md5[1], c = to->md5[2], d = to->md5[3];
    __m128i abcd = _mm_shuffle_epi32(_mm_loadu_si128((const __m128i *)to->sha1), 0x1b);
    __m128i e = _mm_set_epi32((int)to->sha1[4], 0, 0, 0);
    __m128i low = _mm_shuffle_epi32(_mm_loadu_si128((const __m128i *)to->sha256), 0xb1);
    __m128i high = _mm_shuffle_epi32(_mm_loadu_si128((const __m128i *)(to->sha256 + 4)), 0x1b);
    __m128i abef = _mm_alignr_epi8(low, high, 8), cdgh = _mm_blend_epi16(high, low, 0xf0);
    for (; blocks; blocks--, bytes += HW_BLOCK_BYTES) {
        uint32_t word[16], a0 = a, b0 = b, c0 = c, d0 = d;
        __m128i w1[4], w2[4], sum, next, abcd0 = abcd, e0 = e, abef0 = abef, cdgh0 = cdgh;
        memcpy(word, bytes, sizeof word);
        for (int i = 0; i < 4; i++) {
            __m128i words = _mm_loadu_si128((const __m128i *)(bytes + 16 * i));
            w1[i] = _mm_shuffle_epi8(words, backwards);
            w2[i] = _mm_shuffle_epi8(words, by_word);
        }
        MD5_1(a, b, c, d, 0, 7, 0xd76aa478u)
        MD5_1(d, a, b, c, 1, 12, 0xe8c7b756u)
        SHA256_STEPS(0)
        MD5_1(c, d, a, b, 2, 17, 0x242070dbu)
        SHA1_STEPS(0)
        MD5_1(b, c, d, a, 3, 22, 0xc1bdceeeu)
        MD5_1(a, b, c, d, 4, 7, 0xf57c0fafu)
        MD5_1(d, a, b, c, 5, 12, 0x4787c62au)
        SHA256_STEPS(1)
        MD5_1(c, d, a, b, 6, 17, 0xa8304613u)
        SHA1_STEPS(1)
        MD5_1(b, c, d, a, 7, 22, 0xfd469501u)
        MD5_1(a, b, c, d, 8, 7, 0x698098d8u)
        MD5_1(d, a, b, c, 9, 12, 0x8b44f7afu)
        SHA256_STEPS(2)
        MD5_1(c, d, a, b, 10, 17, 0xffff5bb1u)
        SHA1_STEPS(2)
        MD5_1(b, c, d, a, 11, 22, 0x895cd7beu)
        MD5_1(a, b, c, d, 12, 7, 0x6b901122u)
        MD5_1(d, a, b, c, 13, 12, 0xfd987193u)
        SHA256_STEPS(3)
        MD5_1(c, d, a, b, 14, 17, 0xa679438eu)
        SHA1_STEPS(3)
        MD5_1(b, c, d, a, 15, 22, 0x49b40821u)
        SHA1_WORDS(4)
        SHA1_STEPS(4)
        MD5_2(a, b, c, d, 1, 5, 0xf61e2562u)
        SHA256_WORDS(4)
        MD5_2(d, a, b, c, 6, 9, 0xc040b340u)
        SHA256_STEPS(4)
        MD5_2(c, d, a, b, 11, 14, 0x265e5a51u)
        SHA1_WORDS(5)
        SHA1_STEPS(5)
        MD5_2(b, c, d, a, 0, 20, 0xe9b6c7aau)
        MD5_2(a, b, c, d, 5, 5, 0xd62f105du)
        SHA256_WORDS(5)
        MD5_2(d, a, b, c, 10, 9, 0x02441453u)
        SHA256_STEPS(5)
        MD5_2(c, d, a, b, 15, 14, 0xd8a1e681u)
        SHA1_WORDS(6)
        SHA1_STEPS(6)
        MD5_2(b, c, d, a, 4, 20, 0xe7d3fbc8u)
        MD5_2(a, b, c, d, 9, 5, 0x21e1cde6u)
        SHA256_WORDS(6)
        MD5_2(d, a, b, c, 14, 9, 0xc33707d6u)
        SHA256_STEPS(6)
        MD5_2(c, d, a, b, 3, 14, 0xf4d50d87u)
        SHA1_WORDS(7)
        SHA1_STEPS(7)
        MD5_2(b, c, d, a, 8, 20, 0x455a14edu)
        MD5_2(a, b, c, d, 13, 5, 0xa9e3e905u)
        SHA256_WORDS(7)
        MD5_2(d, a, b, c, 2, 9, 0xfcefa3f8u)
        SHA256_STEPS(7)
        MD5_2(c, d, a, b, 7, 14, 0x676f02d9u)
        SHA1_WORDS(8)
        SHA1_STEPS(8)
        MD5_2(b, c, d, a, 12, 20, 0x8d2a4c8au)
        SHA1_WORDS(9)
        SHA1_STEPS(9)
        MD5_3(a, b, c, d, 5, 4, 0xfffa3942u)
        SHA256_WORDS(8)
        MD5_3(d, a, b, c, 8, 11, 0x8771f681u)
        SHA256_STEPS(8)
        MD5_3(c, d, a, b, 11, 16, 0x6d9d6122u)
        SHA1_WORDS(10)
        SHA1_STEPS(10)
        MD5_3(b, c, d, a, 14, 23, 0xfde5380cu)
        MD5_3(a, b, c, d, 1, 4, 0xa4beea44u)
        SHA256_WORDS(9)
        MD5_3(d, a, b, c, 4, 11, 0x4bdecfa9u)
        SHA256_STEPS(9)
        MD5_3(c, d, a, b, 7, 16, 0xf6bb4b60u)
        SHA1_WORDS(11)
        SHA1_STEPS(11)
        MD5_3(b, c, d, a, 10, 23, 0xbebfbc70u)
        MD5_3(a, b, c, d, 13, 4, 0x289b7ec6u)
        SHA256_WORDS(10)
        MD5_3(d, a, b, c, 0, 11, 0xeaa127fau)
        SHA256_STEPS(10)
        MD5_3(c, d, a, b, 3, 16, 0xd4ef3085u)
        SHA1_WORDS(12)
        SHA1_STEPS(12)
        MD5_3(b, c, d, a, 6, 23, 0x04881d05u)
        MD5_3(a, b, c, d, 9, 4, 0xd9d4d039u)
        SHA256_WORDS(11)
        MD5_3(d, a, b, c, 12, 11, 0xe6db99e5u)
        SHA256_STEPS(11)
        MD5_3(c, d, a, b, 15, 16, 0x1fa27cf8u)
        SHA1_WORDS(13)
        SHA1_STEPS(13)
        MD5_3(b, c, d, a, 2, 23, 0xc4ac5665u)
        SHA1_WORDS(14)
        SHA1_STEPS(14)
        MD5_4(a, b, c, d, 0, 6, 0xf4292244u)
        SHA256_WORDS(12)
        MD5_4(d, a, b, c, 7, 10, 0x432aff97u)
        SHA256_STEPS(12)
        MD5_4(c, d, a, b, 14, 15, 0xab9423a7u)
        SHA1_WORDS(15)
        SHA1_STEPS(15)
        MD5_4(b, c, d, a, 5, 21, 0xfc93a039u)
        MD5_4(a, b, c, d, 12, 6, 0x655b59c3u)
        SHA256_WORDS(13)
        MD5_4(d, a, b, c, 3, 10, 0x8f0ccc92u)
        SHA256_STEPS(13)
        MD5_4(c, d, a, b, 10, 15, 0xffeff47du)
        SHA1_WORDS(16)
        SHA1_STEPS(16)
        MD5_4(b, c, d, a, 1, 21, 0x85845dd1u)
        MD5_4(a, b, c, d, 8, 6, 0x6fa87e4fu)
        SHA256_WORDS(14)
        MD5_4(d, a, b, c, 15, 10, 0xfe2ce6e0u)
        SHA256_STEPS(14)
        MD5_4(c, d, a, b, 6, 15, 0xa3014314u)
        SHA1_WORDS(17)
        SHA1_STEPS(17)
        MD5_4(b, c, d, a, 13, 21, 0x4e0811a1u)
        MD5_4(a, b, c, d, 4, 6, 0xf7537e82u)
        SHA256_WORDS(15)
        MD5_4(d, a, b, c, 11, 10, 0xbd3af235u)
        SHA256_STEPS(15)
        MD5_4(c, d, a, b, 2, 15, 0x2ad7d2bbu)
        SHA1_WORDS(18)
        SHA1_STEPS(18)
        MD5_4(b, c, d, a, 9, 21, 0xeb86d391u)
        SHA1_WORDS(19)
        SHA1_STEPS(19)
        a += a0, b += b0, c += c0, d += d0;
        e = _mm_sha1nexte_epu32(e, e0);
        abcd = _mm_add_epi32(abcd, abcd0);
        abef = _mm_add_epi32(abef, abef0), cdgh = _mm_add_epi32(cdgh, cdgh0);
    }
    to->md5[0] = a, to->md5[1] = b, to->md5[2] = c, to->md5[3] = d;
    _mm_storeu_si128((__m128i *)to->sha1, _mm_shuffle_epi32(abcd, 0x1b));
    to->sha1[4] = (uint32_t)_mm_extract_epi32(e, 3);
    low = _mm_shuffle_epi32(abef, 0x1b), high = _mm_shuffle_epi32(cdgh, 0xb1);
    _mm_storeu_si128((__m128i *)to->sha256, _mm_blend_epi16(low, high, 0xf0));
    _mm_storeu_si128((__m128i *)(to->sha256 + 4), _mm_alignr_epi8(high, low, 8));
}

#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif

static int has_instructions(void)
{
    unsigned one, two, three, four;
    if (!__get_cpuid_count(7, 0, &one, &two, &three, &four)) /* gcc before 14 cannot be asked for "sha" */
        return 0;
    return two >> 29 & 1 && __builtin_cpu_supports("sse4.1") && __builtin_cpu_supports("ssse3");
}

/* Asked once: in a virtual machine cpuid leaves it, and that costs as much as the digests of several KiB. Guarded by the GIL. */
int hw_digests_usable(void)
{
    static int known = -1;
    if (known < 0)
        known = has_instructions();
    return known;
}

#else

static void take_blocks(hw_digests *to, const uint8_t *bytes, size_t blocks) { (void)to, (void)bytes, (void)blocks; }

int hw_digests_usable(void) { return 0; }

#endif

void hw_digests_begin(hw_digests *digests)
{
    static const hw_digests begun = {
        {0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476},
        {0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0},
        {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19},
        0,
        {0}};
    *digests = begun;
}

void hw_digests_update(hw_digests *digests, const uint8_t *bytes, size_t count)
{
    size_t held = digests->bytes % HW_BLOCK_BYTES;
    digests->bytes += count;
    if (held) {
        size_t room = HW_BLOCK_BYTES - held, taken = count < room ? count : room;
        memcpy(digests->block + held, bytes, taken);
        bytes += taken, count -= taken;
        if (taken < room)
            return;
        take_blocks(digests, digests->block, 1);
    }
    take_blocks(digests, bytes, count / HW_BLOCK_BYTES);
    memcpy(digests->block, bytes + count / HW_BLOCK_BYTES * HW_BLOCK_BYTES, count % HW_BLOCK_BYTES);
}

static void write_words(uint8_t *to, const uint32_t *words, int count, int lowest_first)
{
    for (int i = 0; i < 4 * count; i++)
        to[i] = (uint8_t)(words[i / 4] >> (lowest_first ? 8 * (i % 4) : 24 - 8 * (i % 4)));
}

/* One bit, zeros, and the length in bits: lowest byte first for MD5, highest first for the others. */
void hw_digests_end(const hw_digests *digests, uint8_t *md5, uint8_t *sha1, uint8_t *sha256)
{
    size_t held = digests->bytes % HW_BLOCK_BYTES, blocks = held < HW_BLOCK_BYTES - 8 ? 1 : 2;
    for (int lowest_first = 0; lowest_first < 2; lowest_first++) {
        hw_digests last = *digests;
        memset(last.block + held, 0, sizeof last.block - held);
        last.block[held] = 0x80;
        for (int i = 0; i < 8; i++)
            last.block[blocks * HW_BLOCK_BYTES - 8 + (size_t)i] = (uint8_t)(digests->bytes * 8 >> (lowest_first ? 8 * i : 56 - 8 * i));
        take_blocks(&last, last.block, blocks);
        if (lowest_first)
            write_words(md5, last.md5, HW_MD5_BYTES / 4, 1);
        else {
            write_words(sha1, last.sha1, HW_SHA1_BYTES / 4, 0);
            write_words(sha256, last.sha256, HW_SHA256_BYTES / 4, 0);
        }
    }
}
