/*
 * guc.c
 *	  Every setting of the extension, alphabetical. A setting that could weaken privacy is never PGC_USERSET.
 */
#include "postgres.h"

#include "utils/guc.h"

#include "guc/guc.h"
#include "strm_privacy.h"

int			strm_key_cache_size = 65536;
bool		strm_log_redaction = true;
char	   *strm_master_key_file = NULL;

void
strm_guc_init(void)
{
	DefineCustomIntVariable("strm_privacy.key_cache_size",
							"Number of data keys that a session keeps unwrapped in its memory.",
							"A key takes about 300 bytes. Keys beyond this number are read again when needed.",
							&strm_key_cache_size,
							65536, 16, 16 * 1024 * 1024,
							PGC_USERSET, 0, NULL, NULL, NULL);

	DefineCustomBoolVariable("strm_privacy.log_redaction",
							 "Keeps statements and context lines that concern streams out of the server log.",
							 NULL,
							 &strm_log_redaction,
							 true,
							 PGC_SUSET, 0, NULL, NULL, NULL);

	DefineCustomStringVariable("strm_privacy.master_key_file",
							   "File that holds the master keys, outside the data directory.",
							   "CREATE EXTENSION creates it when it does not exist and the cluster never had one.",
							   &strm_master_key_file,
							   NULL,
							   PGC_SIGHUP, GUC_SUPERUSER_ONLY, NULL, NULL, NULL);

	MarkGUCPrefixReserved("strm_privacy");
}
