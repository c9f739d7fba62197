/*
 * event.h
 *	  Taking events in JSON into a stream.
 */
#ifndef STRM_INGEST_EVENT_H
#define STRM_INGEST_EVENT_H

#include "utils/jsonb.h"

#include "catalog/stream.h"

/*
 * Inserts one event (docs/formats.md) into stream as the current user. Raises one private error that lists every
 * fault of the event by member and expected type, never by value: 22P02 when types are wrong, 22023 when members are
 * unknown or the event is of another contract. What the INSERT raises passes through.
 */
extern void strm_event_ingest(const StrmStream *stream, Jsonb *event);

#endif							/* STRM_INGEST_EVENT_H */
