/* Plans, hits and the order of both: the parts of a search that need no vector instructions. */
#include "core.h"

uint16_t hw_flips[HW_FLIPS];
uint16_t hw_line_flips[HW_FLIPS];
const int hw_flips_below[HW_MAX_WEIGHT + 1] = {0, 1, 17, 137, 697};
int hw_line_flips_below[HW_MAX_WEIGHT + 1];

static int bits_of(unsigned value)
{
    int bits = 0;
    for (; value; value &= value - 1)
        bits++;
    return bits;
}

void hw_core_init(void)
{
    int at = 0, lines = 0;
    for (int bits = 0; bits < HW_MAX_WEIGHT; bits++) {
        for (unsigned mask = 0; mask < HW_BUCKETS; mask++) {
            if (bits_of(mask) != bits)
                continue;
            hw_flips[at++] = (uint16_t)mask;
            if ((mask & 15) == 0)
                hw_line_flips[lines++] = (uint16_t)mask;
        }
        hw_line_flips_below[bits + 1] = lines;
    }
}

/* Weights as even as they can be: radius 31 over 16 tables gives every one 2, radius 16 gives one of them 2. */
int hw_plan_make(const hw_index *index, int radius, hw_plan *plan)
{
    memset(plan, 0, sizeof *plan);
    plan->radius = radius;
    if (index->tables == 0 || radius + 1 > HW_MAX_WEIGHT * index->tables)
        return -1;
    for (int t = 0; t < index->tables; t++) {
        int weight = (t + 1) * (radius + 1) / index->tables - t * (radius + 1) / index->tables;
        plan->weight[index->table[t].chunk] = weight;
        plan->ranges += (size_t)hw_flips_below[weight];
        plan->tables_used += weight > 0;
    }
    for (int c = 0; c < 2; c++)
        plan->weight[index->chunks + c] = plan->weight[c];
    for (int c = 0; c < index->chunks; c++) {
        plan->chain2[c] = plan->weight[c] + plan->weight[c + 1];
        plan->chain3[c] = plan->chain2[c] + plan->weight[c + 2];
    }
    return 0;
}

/* Costs in nanoseconds as measured on one machine (bench/runs). They only steer: every choice gives the same hits. */
static double cost_of_probing(const hw_index *index, const hw_plan *plan, double queries)
{
    double n = (double)index->n, met = queries * (double)plan->ranges, bucket = n / HW_BUCKETS;
    if (queries < HW_FEW)
        return met * (6 + (n < 1e6 ? n / 5e4 : 20) + bucket * 0.25); /* lines from the caches, then from memory */
    double first_touch = n * plan->tables_used * 0.13, lines = met * 35;
    return met * (6 + (n < 1e6 ? n / 2.5e5 : 4) + bucket * 0.2) + (lines < first_touch ? lines : first_touch);
}

static double cost_of_joining(const hw_index *index, const hw_plan *plan, double queries)
{
    double n = (double)index->n, buckets = n < HW_BUCKETS ? n : HW_BUCKETS;
    double met = (double)plan->ranges, used = plan->tables_used;
    return met * buckets * 2 + n * used * 0.15 + queries * (used * 10 + met * buckets / HW_BUCKETS * 3 + met * n / HW_BUCKETS * 0.05);
}

static double cost_of_streaming(const hw_index *index, const hw_plan *plan, double queries)
{
    double entries = (double)index->n * (double)plan->ranges, used = plan->tables_used;
    double each = entries / used, filled = each / HW_BUCKETS;
    double look = each < 100000 ? 10 : 35; /* one table's entries fit the second cache, or do not */
    return entries * 15 + used * HW_BUCKETS * 3 + queries * used * (1.5 + (filled < 1 ? filled : 1) * look);
}

enum hw_strategy hw_choose(const hw_index *index, const hw_plan *plan, int planned, int radius, size_t count)
{
    double n = (double)index->n, queries = (double)count;
    int filters = index->plane && (index->words == 1 || radius < 40); /* of 96 bits, 48 differ by chance */
    enum hw_strategy best = filters ? HW_PLANES : HW_SCAN;
    double least = queries * (filters ? 10 + 0.13 * n : 0.6 * n * index->words), cost;
    if (planned < 0)
        return best;
    if ((cost = cost_of_probing(index, plan, queries)) < least) {
        least = cost;
        best = HW_PROBE;
    }
    if (count <= 256) /* the others read or sort whole tables */
        return best;
    if ((cost = cost_of_joining(index, plan, queries)) < least) {
        least = cost;
        best = HW_JOIN;
    }
    return cost_of_streaming(index, plan, queries) < least ? HW_STREAM : best;
}

int hw_hits_grow(hw_hits *hits)
{
    size_t room = hits->room ? hits->room * 2 : 64;
    if (hits->most && room > hits->most)
        room = hits->most;
    if (room == hits->room)
        return -1;
    uint64_t *key = realloc(hits->key, room * sizeof *key);
    if (!key)
        return -1;
    hits->key = key;
    hits->room = room;
    return 0;
}

static void sort_few(uint64_t *key, size_t count)
{
    for (size_t i = 1; i < count; i++) {
        uint64_t value = key[i];
        size_t j = i;
        for (; j > 0 && key[j - 1] > value; j--)
            key[j] = key[j - 1];
        key[j] = value;
    }
}

/* Radix sort, 11 bits a pass, skipping digits on which all keys agree. */
int hw_sort(uint64_t *key, size_t count)
{
    if (count <= 32) {
        sort_few(key, count);
        return 0;
    }
    uint64_t *other = malloc(count * sizeof *other);
    if (!other)
        return -1;
    uint64_t *from = key, *to = other;
    for (int shift = 0; shift < 64; shift += 11) {
        size_t start[2048] = {0};
        for (size_t i = 0; i < count; i++)
            start[(from[i] >> shift) & 2047]++;
        if (start[(from[0] >> shift) & 2047] == count)
            continue;
        size_t sum = 0;
        for (int digit = 0; digit < 2048; digit++) {
            size_t here = start[digit];
            start[digit] = sum;
            sum += here;
        }
        for (size_t i = 0; i < count; i++)
            to[start[(from[i] >> shift) & 2047]++] = from[i];
        uint64_t *swap = from;
        from = to;
        to = swap;
    }
    if (from != key)
        memcpy(key, from, count * sizeof *key);
    free(other);
    return 0;
}

static void permute_bits(const uint8_t *source_bit, int words, const uint8_t *value, uint64_t *row)
{
    for (int w = 0; w < words; w++) {
        uint64_t word = 0;
        for (int b = 0; b < 64; b++) {
            unsigned source = source_bit[64 * w + b];
            word |= (uint64_t)((value[source >> 3] >> (source & 7)) & 1) << b;
        }
        row[w] = word;
    }
}

/* Bit i of a row is bit source_bit[i] of its value (bit k of a value is bit k mod 8 of byte k div 8). Many rows go through
 * a table of what each half byte becomes. */
void hw_permute_portable(const uint8_t *source_bit, int words, const uint8_t *values, size_t count, uint64_t *rows)
{
    size_t width = 8 * (size_t)words;
    uint64_t (*becomes)[16][HW_MAX_WORDS] = count > 64 ? calloc(2 * width, sizeof *becomes) : NULL;
    if (!becomes) {
        for (size_t i = 0; i < count; i++)
            permute_bits(source_bit, words, values + i * width, rows + i * (size_t)words);
        return;
    }
    for (int bit = 0; bit < 64 * words; bit++) {
        unsigned source = source_bit[bit];
        for (unsigned half = 0; half < 16; half++)
            if ((half >> (source & 3)) & 1)
                becomes[source >> 2][half][bit >> 6] |= (uint64_t)1 << (bit & 63);
    }
    for (size_t i = 0; i < count; i++) {
        uint64_t row[HW_MAX_WORDS] = {0};
        for (size_t byte = 0; byte < width; byte++) {
            const uint64_t *low = becomes[2 * byte][values[i * width + byte] & 15];
            const uint64_t *high = becomes[2 * byte + 1][values[i * width + byte] >> 4];
            for (int w = 0; w < HW_MAX_WORDS; w++)
                row[w] |= low[w] | high[w];
        }
        memcpy(rows + i * (size_t)words, row, width);
    }
    free(becomes);
}
