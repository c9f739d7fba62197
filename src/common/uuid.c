/*
 * uuid.c
 *	  Uuids of definitions: the server's functions, for C; and the text of a uuid without allocation, for rows.
 */
#include "postgres.h"

#include "utils/fmgrprotos.h"

#include "common/uuid.h"
#include "strm_privacy.h"

#define STRM_UUID_TEXT_SIZE 36

pg_uuid_t
strm_uuid_new(void)
{
	return *DatumGetUUIDP(DirectFunctionCall1(gen_random_uuid, (Datum) 0));
}

char *
strm_uuid_text(const pg_uuid_t *id)
{
	return DatumGetCString(DirectFunctionCall1(uuid_out, UUIDPGetDatum(id)));
}

void
strm_uuid_append(StringInfo out, const pg_uuid_t *id)
{
	static const char digits[] = "0123456789abcdef";
	char	   *text;

	enlargeStringInfo(out, STRM_UUID_TEXT_SIZE);
	text = out->data + out->len;
	for (int i = 0; i < UUID_LEN; i++)
	{
		if (i == 4 || i == 6 || i == 8 || i == 10)
			*text++ = '-';
		*text++ = digits[id->data[i] >> 4];
		*text++ = digits[id->data[i] & 0x0f];
	}
	*text = '\0';
	out->len += STRM_UUID_TEXT_SIZE;
}
