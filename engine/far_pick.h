/* engine/far_pick.h - the best N of a stream, the same for every order of the stream
 *
 * Candidates are ordered by estimate, larger first, and among equals by identity: extent, then token.
 * No two offered candidates are equal in all three, so the best N are one set, whatever the order in
 * which they come and however the stream was cut.
 */
#ifndef ENGINE_FAR_PICK_H
#define ENGINE_FAR_PICK_H

#include <stddef.h>
#include <stdint.h>

struct pick_item {
	float    est;
	uint32_t extent, t;
};

struct pick {
	struct pick_item *item;		/* [2 * want] */
	size_t   n, want;
	float    floor;			/* nothing below it is among the best */
};

/* item has room for 2 * want. */
void pick_init(struct pick *p, struct pick_item *item, size_t want);

/* Offer est[0 .. n), tokens of one extent. */
void pick_offer(struct pick *p, uint32_t extent, const float *est, uint32_t n);
void pick_add(struct pick *p, const struct pick_item *x);

/* Keep the best `want` (in no order). */
void pick_settle(struct pick *p);

#endif
