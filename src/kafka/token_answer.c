/*
 * token_answer.c
 *	  What a token endpoint answered (RFC 6749, sections 5.1 and 5.2): a JSON object.
 *
 *	  Names are looked for, not parsed: of the values that matter none holds a quotation mark, and the endpoint is one
 *	  that is trusted with the secret.
 *
 *	  How long a token is valid the answer says in seconds, which needs no clocks that agree. Only where it does not,
 *	  the end that a JSON web token (RFC 7519) has in it counts.
 */
#include "postgres.h"

#include <time.h>

#include "kafka/token_answer.h"

#define STRM_KAFKA_TOKEN_LIFE 60	/* seconds, of tokens that do not say */
#define STRM_KAFKA_TOKEN_LIFE_MAX (365 * 86400)

/* Where the value of a member begins, its name given with quotation marks; NULL: there is none. */
static const char *
strm_kafka_answer_member(const char *answer, const char *name)
{
	const char *at = answer;

	while ((at = strstr(at, name)) != NULL)
	{
		at += strlen(name);
		at += strspn(at, " \t\r\n");
		if (*at == ':')
			return at + 1 + strspn(at + 1, " \t\r\n");
	}
	return NULL;
}

/* A number, or one in a string; -1: it is neither. */
static int64
strm_kafka_answer_number(const char *value)
{
	char	   *end;
	double		number;

	if (value == NULL)
		return -1;
	value += *value == '"';
	number = strtod(value, &end);
	return end != value && number >= 0 && number < 1e15 ? (int64) number : -1;
}

/* The value of a digit of base64url, or of base64; -1: it is none. */
static int
strm_kafka_answer_digit(char c)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
	const char *at = c == '\0' ? NULL : strchr(digits, c == '+' ? '-' : c == '/' ? '_' : c);

	return at == NULL ? -1 : (int) (at - digits);
}

/* Seconds until the end that a JSON web token has in it; -1: it is none, or has no end. */
static int64
strm_kafka_answer_end(const char *token)
{
	char		claims[4096];
	Size		size = 0;
	uint32		bits = 0;
	int			nbits = 0;
	int64		end;

	token = strchr(token, '.');
	if (token == NULL)
		return -1;
	for (token++; strm_kafka_answer_digit(*token) >= 0 && size < sizeof(claims) - 1; token++)
	{
		bits = (bits << 6 | strm_kafka_answer_digit(*token)) & 0xffff;
		nbits += 6;
		if (nbits >= 8)
		{
			nbits -= 8;
			claims[size++] = (char) (bits >> nbits);
		}
	}
	claims[size] = '\0';
	end = *token == '.' ? strm_kafka_answer_number(strm_kafka_answer_member(claims, "\"exp\"")) : -1;
	explicit_bzero(claims, sizeof(claims));
	return end < 0 ? -1 : Max(end - (int64) time(NULL), 0);
}

char *
strm_kafka_answer_token(char *answer, int64 *seconds)
{
	int64		life = strm_kafka_answer_number(strm_kafka_answer_member(answer, "\"expires_in\""));
	char	   *text = unconstify(char *, strm_kafka_answer_member(answer, "\"access_token\""));
	char	   *to;

	if (text == NULL || *text != '"')
		return NULL;
	to = ++text;
	/* Some write a slash with a backslash before it. */
	for (const char *from = text; *from != '"'; from++)
	{
		if (*from == '\\' && *++from != '/')
			return NULL;
		if (*from <= ' ' || *from > '~')
			return NULL;
		*to++ = *from;
	}
	*to = '\0';
	if (life < 0)
		life = strm_kafka_answer_end(text);
	*seconds = life < 0 ? STRM_KAFKA_TOKEN_LIFE : Min(life, STRM_KAFKA_TOKEN_LIFE_MAX);
	return to > text ? text : NULL;
}

void
strm_kafka_answer_error(const char *answer, char *code, Size size)
{
	const char *value = strm_kafka_answer_member(answer, "\"error\"");
	Size		length = value != NULL && *value == '"' ?
		strspn(value + 1, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-") : 0;

	code[0] = '\0';
	if (length > 0 && length < size && value[1 + length] == '"')
	{
		memcpy(code, value + 1, length);
		code[length] = '\0';
	}
}
