/*
 * export_known.c
 *	  What a topic holds already of the rows that a rebuilt exporter reads again.
 *
 *	  Events are told apart by their key link and nonce. They are kept exactly, sorted, 20 bytes each, and at most so
 *	  many that the worker stays small. When there are more, the rest may be published twice, which the log says.
 */
#include "postgres.h"

#include "utils/memutils.h"

#include "utils/builtins.h"
#include "utils/uuid.h"

#include "common/errors.h"
#include "strm_privacy.h"
#include "worker/export_private.h"

#define STRM_EXPORT_KNOWN_MAX 1000000

typedef struct StrmExportEvent
{
	pg_uuid_t	key_link;
	int32		nonce;
} StrmExportEvent;

struct StrmExportKnown
{
	StrmExportExporter *exporter;
	int64		n;
	int64		room;
	int64		more;			/* that are not kept */
	StrmExportEvent *events;
};

static int
strm_export_event_compare(const void *a, const void *b)
{
	return memcmp(a, b, sizeof(StrmExportEvent));
}

/* Reads a uuid in its usual spelling; false when it is none. */
static bool
strm_export_read_key(const char *key, Size size, pg_uuid_t *id)
{
	int			digits = 0;

	memset(id, 0, sizeof(pg_uuid_t));
	for (Size i = 0; i < size; i++)
	{
		const char *hex = "0123456789abcdef";
		const char *digit;

		if (key[i] == '-')
			continue;
		digit = key[i] ? strchr(hex, key[i]) : NULL;
		if (digit == NULL || digits == 2 * UUID_LEN)
			return false;
		id->data[digits / 2] |= (digit - hex) << (digits % 2 ? 0 : 4);
		digits++;
	}
	return digits == 2 * UUID_LEN;
}

static void
strm_export_known_add(void *arg, int partition, int64 offset, const char *key, Size key_size, const char *nonce,
					  Size nonce_size)
{
	StrmExportKnown *known = arg;
	StrmExportEvent event;
	char		text[16];

	if (key == NULL || nonce == NULL || nonce_size >= sizeof(text) ||
		!strm_export_read_key(key, key_size, &event.key_link))
		return;
	memcpy(text, nonce, nonce_size);
	text[nonce_size] = '\0';
	event.nonce = (int32) strtol(text, NULL, 10);
	if (known->n == STRM_EXPORT_KNOWN_MAX)
	{
		known->more++;
		return;
	}
	if (known->n == known->room)
	{
		known->room *= 2;
		known->events = repalloc_huge(known->events, known->room * sizeof(StrmExportEvent));
	}
	known->events[known->n++] = event;
}

StrmExportKnown *
strm_export_known_read(StrmExportExporter *exporter, const StrmSinkConfig *config)
{
	StrmExportKnown *known = palloc0(sizeof(StrmExportKnown));

	known->exporter = exporter;
	known->room = 1024;
	known->events = palloc(known->room * sizeof(StrmExportEvent));
	exporter->session->kind->scan(config, strm_export_known_add, known);
	if (known->n > 1)
		qsort(known->events, known->n, sizeof(StrmExportEvent), strm_export_event_compare);
	if (known->more > 0)
		ereport(LOG,
				errmsg("Kafka exporter \"%s\" may publish up to %lld events twice", exporter->definition->name,
					   (long long) known->more),
				errdetail("More events than can be remembered were published after the last checkpoint."));
	return known;
}

bool
strm_export_known_has(const StrmExportKnown *known, const pg_uuid_t *key_link, int32 nonce)
{
	StrmExportEvent event = {.key_link = *key_link, .nonce = nonce};

	return bsearch(&event, known->events, known->n, sizeof(StrmExportEvent), strm_export_event_compare) != NULL;
}
