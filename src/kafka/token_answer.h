/*
 * token_answer.h
 *	  What a token endpoint answered. Usable in any thread: no server function is called here.
 */
#ifndef STRM_KAFKA_TOKEN_ANSWER_H
#define STRM_KAFKA_TOKEN_ANSWER_H

/*
 * The token in an answer, which is cut up for it, and for how many seconds from now it is valid. NULL: there is none
 * that could be sent.
 */
extern char *strm_kafka_answer_token(char *answer, int64 *seconds);

/* The code of an answer that is an error ("invalid_client"); "": it has none that could be shown. */
extern void strm_kafka_answer_error(const char *answer, char *code, Size size);

#endif							/* STRM_KAFKA_TOKEN_ANSWER_H */
