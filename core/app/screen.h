#ifndef APP_SCREEN_H
#define APP_SCREEN_H
/*
 * screen: how the tour shows what happens. On a terminal the tree is drawn over the last one;
 * piped, one line tells of each object that changed its phase, and of a store that drains.
 */
#include "app/tree.h"

struct screen;

struct screen *screen_new(bool terminal);
void screen_free(struct screen *s);
void screen_act(struct screen *s, const char *title); /* what follows is drawn below it */
void screen_show(struct screen *s, const struct tree *t, int64_t wall_ms, double seconds);

#endif
