/*
 * wrapped_json.c
 *	  JSON with secrets in it.
 *
 *	  What is made here in the clear is wiped; but parsing JSON makes copies of strings that are freed, not wiped.
 */
#include "postgres.h"

#include "utils/builtins.h"
#include "utils/fmgrprotos.h"

#include "common/secret.h"
#include "keys/master_key.h"
#include "keys/wrapped_json.h"

/* Where a secret of that kind and owner belongs. */
static StrmWrapPlace
strm_wrapped_json_place(StrmSecretKind kind, const pg_uuid_t *owner)
{
	StrmWrapPlace place = {.kind = kind};

	memcpy(place.owner, owner->data, UUID_LEN);
	return place;
}

bytea *
strm_wrapped_json_make(StrmSecretKind kind, const pg_uuid_t *owner, Jsonb *document)
{
	StrmWrapPlace place = strm_wrapped_json_place(kind, owner);
	/* room for the longest escapes at once, so that no half of it is left behind by growing */
	char	   *text = JsonbToCString(NULL, &document->root, 6 * VARSIZE(document));
	bytea	   *wrapped = strm_master_key_wrap(&place, NULL, (const uint8 *) text, strlen(text));

	strm_secret_wipe(text, strlen(text));
	return wrapped;
}

Jsonb *
strm_wrapped_json_open(StrmSecretKind kind, const pg_uuid_t *owner, const bytea *wrapped)
{
	StrmWrapPlace place = strm_wrapped_json_place(kind, owner);
	Size		size = strm_master_key_payload_size(wrapped);
	char	   *text = strm_secret_alloc(CurrentMemoryContext, size + 1);
	Jsonb	   *parsed;
	Jsonb	   *document;

	strm_master_key_unwrap(&place, wrapped, (uint8 *) text, size);
	parsed = DatumGetJsonbP(DirectFunctionCall1(jsonb_in, CStringGetDatum(text)));
	strm_secret_wipe(text, size);
	document = strm_secret_alloc(CurrentMemoryContext, VARSIZE(parsed));
	memcpy(document, parsed, VARSIZE(parsed));
	strm_secret_wipe(parsed, VARSIZE(parsed));
	return document;
}
