#ifndef KUBE_EVENT_H
#define KUBE_EVENT_H
/*
 * event: Kubernetes Events (core v1), deduplicated and limited.
 *
 * The same (object, reason, message) within ten minutes becomes a count on the first Event. Each
 * object has a budget of 25 writes, refilled one per five minutes. Losing an Event is never an
 * error. Events of cluster-scoped objects live in "default". Messages are cut at 1,024 bytes.
 */
#include "kube/api.h"

struct events;

struct events *events_new(struct api *api, const char *component, const char *instance,
	struct log *log, struct metrics *metrics);
void events_free(struct events *ev);
/* type "Normal" or "Warning"; reason UpperCamel; `object` needs kind, apiVersion, metadata. */
void events_emit(struct events *ev, const cJSON *object, const char *type, const char *reason,
	const char *message);

#endif
