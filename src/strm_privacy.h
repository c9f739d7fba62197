/*
 * strm_privacy.h
 *	  Names that every file of the extension shares. Include after postgres.h.
 */
#ifndef STRM_PRIVACY_H
#define STRM_PRIVACY_H

#include "compat/compat.h"

/* Marks the messages of this library: those never carry a value of a row (guard/log_redaction.c relies on it). */
#undef TEXTDOMAIN
#define TEXTDOMAIN "strm_privacy"

#define STRM_EXTENSION_NAME "strm_privacy"
#define STRM_SCHEMA_NAME "strm"

/* Names of the columns that every stream has; the contract's columns follow them. */
#define STRM_COLUMN_CONTRACT_VERSION "strm_contract_version"
#define STRM_COLUMN_NONCE "strm_nonce"
#define STRM_COLUMN_TIMESTAMP "strm_timestamp"
#define STRM_COLUMN_KEY_LINK "strm_key_link"
#define STRM_COLUMN_CONSENT_LEVELS "strm_consent_levels"
#define STRM_COLUMN_SEAL "strm_seal"
#define STRM_COLUMN_PREFIX "strm_"

/* A stream's CHECK constraints of its personal columns; the second is named strm_ciphertext_2. */
#define STRM_CIPHERTEXT_CONSTRAINT "strm_ciphertext"
#define STRM_CIPHERTEXT_COLUMNS 50	/* that one of them looks at; a function takes at most 100 arguments */

/* The table access method of inboxes. */
#define STRM_INBOX_ACCESS_METHOD "strm_inbox"

/* The trigger of inboxes: refuses rows when the table has another access method. */
#define STRM_INBOX_TRIGGER "strm_check_inbox"

#endif							/* STRM_PRIVACY_H */
