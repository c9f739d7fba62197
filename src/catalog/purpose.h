/*
 * purpose.h
 *	  Rows of strm.purpose.
 */
#ifndef STRM_CATALOG_PURPOSE_H
#define STRM_CATALOG_PURPOSE_H

/* Is there a purpose of that level? Works for any role. */
extern bool strm_catalog_purpose_exists(int32 level);

#endif							/* STRM_CATALOG_PURPOSE_H */
