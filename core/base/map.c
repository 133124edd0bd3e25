#include "base/map.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"

/* Entries lie in the order they were put; a removed one leaves a gap (key NULL) until the array is
 * full, because an iteration may be under way. The index finds them: open addressing, linear
 * probing, gaps closed at removal. */
struct entry {
	char *key;
	void *value;
	uint32_t hash;
	uint32_t len;
};

struct slot {
	uint32_t hash;
	uint32_t at; /* place in entries + 1, 0 = free */
};

struct map {
	map_free_fn *free_value;
	struct entry *entries;
	struct slot *slots; /* twice as many as entries, a power of two */
	size_t first;       /* no entry before this one is in use */
	size_t used;        /* entries in use, and gaps */
	size_t cap;
	size_t count;
};

/* Eight bytes at a time, folded by a wide multiplication. */
static uint64_t
fold(uint64_t a, uint64_t b)
{
	__uint128_t m = (__uint128_t)a * b;

	return (uint64_t)m ^ (uint64_t)(m >> 64);
}

static uint32_t
hash_key(const char *key, size_t n)
{
	const uint64_t odd = UINT64_C(0x9e3779b97f4a7c15);
	uint64_t h = odd ^ n, word;

	for (; n >= 8; n -= 8, key += 8) {
		memcpy(&word, key, 8);
		h = fold(h ^ word, odd);
	}
	word = 0;
	memcpy(&word, key, n);
	h = fold(h ^ word, UINT64_C(0xd1342543de82ef95));
	return (uint32_t)(h ^ h >> 32);
}

struct map *
map_new(map_free_fn *free_value)
{
	struct map *m = xcalloc(1, sizeof(*m));

	m->free_value = free_value;
	return m;
}

void
map_free(struct map *m)
{
	if (m == NULL)
		return;
	map_clear(m);
	free(m->entries);
	free(m->slots);
	free(m);
}

static size_t
slot_mask(const struct map *m)
{
	return 2 * m->cap - 1;
}

/* The slot of a key, or the free slot where it would go. The map has slots. */
static size_t
find(const struct map *m, const char *key, size_t len, uint32_t hash)
{
	size_t mask = slot_mask(m), i = hash & mask;

	for (; m->slots[i].at != 0; i = (i + 1) & mask) {
		const struct entry *e;

		if (m->slots[i].hash != hash)
			continue;
		e = &m->entries[m->slots[i].at - 1];
		if (e->len == len && memcmp(e->key, key, len) == 0)
			break;
	}
	return i;
}

static struct entry *
entry_of(const struct map *m, const char *key, size_t *slot)
{
	size_t len;

	if (m->count == 0)
		return NULL;
	len = strlen(key);
	*slot = find(m, key, len, hash_key(key, len));
	return m->slots[*slot].at != 0 ? &m->entries[m->slots[*slot].at - 1] : NULL;
}

void *
map_get(const struct map *m, const char *key)
{
	size_t slot;
	struct entry *e = entry_of(m, key, &slot);

	return e != NULL ? e->value : NULL;
}

bool
map_has(const struct map *m, const char *key)
{
	size_t slot;

	return entry_of(m, key, &slot) != NULL;
}

/* Close the gaps, and double the room when it is not gaps that fill it. */
static void
make_room(struct map *m)
{
	size_t kept = 0;

	if (m->cap == 0 || m->count > m->cap / 2) {
		m->cap = m->cap > 0 ? m->cap * 2 : 8;
		must(m->cap < UINT32_MAX / 2);
		m->entries = xrealloc(m->entries, m->cap * sizeof(*m->entries));
		free(m->slots);
		m->slots = xcalloc(2 * m->cap, sizeof(*m->slots));
	} else {
		memset(m->slots, 0, 2 * m->cap * sizeof(*m->slots));
	}
	for (size_t i = m->first; i < m->used; i++) {
		size_t s;

		if (m->entries[i].key == NULL)
			continue;
		m->entries[kept] = m->entries[i];
		s = m->entries[kept].hash & slot_mask(m);
		while (m->slots[s].at != 0)
			s = (s + 1) & slot_mask(m);
		m->slots[s] = (struct slot){ m->entries[kept].hash, (uint32_t)kept + 1 };
		kept++;
	}
	m->first = 0;
	m->used = kept;
}

void
map_put(struct map *m, const char *key, void *value)
{
	size_t slot, len = strlen(key);
	struct entry *e = entry_of(m, key, &slot);

	must(len < UINT32_MAX);
	if (e != NULL) {
		void *old = e->value;

		e->value = value;
		if (m->free_value != NULL && old != value)
			m->free_value(old);
		return;
	}
	if (m->used == m->cap)
		make_room(m);
	e = &m->entries[m->used];
	e->key = xmalloc(len + 1);
	memcpy(e->key, key, len + 1);
	e->value = value;
	e->len = (uint32_t)len;
	e->hash = hash_key(key, len);
	slot = find(m, key, len, e->hash);
	m->slots[slot] = (struct slot){ e->hash, (uint32_t)m->used + 1 };
	m->used++;
	m->count++;
}

/* Free a slot and move back those that were pushed past it. */
static void
close_slot(struct map *m, size_t hole)
{
	size_t mask = slot_mask(m);

	for (size_t i = (hole + 1) & mask; m->slots[i].at != 0; i = (i + 1) & mask) {
		size_t home = m->slots[i].hash & mask;

		if (((i - home) & mask) < ((i - hole) & mask))
			continue;
		m->slots[hole] = m->slots[i];
		hole = i;
	}
	m->slots[hole].at = 0;
}

void *
map_take(struct map *m, const char *key)
{
	size_t slot;
	struct entry *e = entry_of(m, key, &slot);
	void *value;

	if (e == NULL)
		return NULL;
	value = e->value;
	close_slot(m, slot);
	free(e->key);
	e->key = NULL;
	m->count--;
	while (m->first < m->used && m->entries[m->first].key == NULL)
		m->first++;
	return value;
}

bool
map_del(struct map *m, const char *key)
{
	void *value;

	if (!map_has(m, key))
		return false;
	value = map_take(m, key);
	if (m->free_value != NULL && value != NULL)
		m->free_value(value);
	return true;
}

void
map_clear(struct map *m)
{
	struct map old = *m;

	/* Emptied first: freeing a value may look into the map. */
	*m = (struct map){ .free_value = old.free_value };
	for (size_t i = old.first; i < old.used; i++) {
		if (old.entries[i].key == NULL)
			continue;
		free(old.entries[i].key);
		if (old.free_value != NULL && old.entries[i].value != NULL)
			old.free_value(old.entries[i].value);
	}
	free(old.entries);
	free(old.slots);
}

size_t
map_count(const struct map *m)
{
	return m->count;
}

bool
map_next(const struct map *m, struct map_iter *it)
{
	size_t i = it->at > m->first ? it->at : m->first;

	while (i < m->used && m->entries[i].key == NULL)
		i++;
	if (i >= m->used)
		return false;
	it->key = m->entries[i].key;
	it->value = m->entries[i].value;
	it->at = i + 1;
	return true;
}
