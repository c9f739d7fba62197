/*
 * timestamp_text.c
 *	  The English names of months, days, quarters, eras and halves of the day. They are compared as they are written.
 *
 *	  A narrow name that is that of several is the last one's, as in the JDK: M is May.
 */
#include "postgres.h"

#include "format/timestamp_private.h"

static const StrmTimestampText strm_months_short[] = {
	{"Jan", 1}, {"Feb", 2}, {"Mar", 3}, {"Apr", 4}, {"May", 5}, {"Jun", 6},
	{"Jul", 7}, {"Aug", 8}, {"Sep", 9}, {"Oct", 10}, {"Nov", 11}, {"Dec", 12}, {NULL}
};
static const StrmTimestampText strm_months_full[] = {
	{"January", 1}, {"February", 2}, {"March", 3}, {"April", 4}, {"May", 5}, {"June", 6}, {"July", 7},
	{"August", 8}, {"September", 9}, {"October", 10}, {"November", 11}, {"December", 12}, {NULL}
};
static const StrmTimestampText strm_months_narrow[] = {
	{"J", 7}, {"F", 2}, {"M", 5}, {"A", 8}, {"S", 9}, {"O", 10}, {"N", 11}, {"D", 12}, {NULL}
};
static const StrmTimestampText strm_days_short[] = {
	{"Mon", 1}, {"Tue", 2}, {"Wed", 3}, {"Thu", 4}, {"Fri", 5}, {"Sat", 6}, {"Sun", 7}, {NULL}
};
static const StrmTimestampText strm_days_full[] = {
	{"Monday", 1}, {"Tuesday", 2}, {"Wednesday", 3}, {"Thursday", 4}, {"Friday", 5}, {"Saturday", 6}, {"Sunday", 7},
	{NULL}
};
static const StrmTimestampText strm_days_narrow[] = {
	{"M", 1}, {"T", 4}, {"W", 3}, {"F", 5}, {"S", 7}, {NULL}
};
static const StrmTimestampText strm_quarters_short[] = {{"Q1", 1}, {"Q2", 2}, {"Q3", 3}, {"Q4", 4}, {NULL}};
static const StrmTimestampText strm_quarters_full[] = {
	{"1st quarter", 1}, {"2nd quarter", 2}, {"3rd quarter", 3}, {"4th quarter", 4}, {NULL}
};
static const StrmTimestampText strm_quarters_narrow[] = {{"1", 1}, {"2", 2}, {"3", 3}, {"4", 4}, {NULL}};
static const StrmTimestampText strm_eras_short[] = {{"AD", 1}, {"BC", 0}, {NULL}};
static const StrmTimestampText strm_eras_full[] = {{"Anno Domini", 1}, {"Before Christ", 0}, {NULL}};
static const StrmTimestampText strm_eras_narrow[] = {{"A", 1}, {"B", 0}, {NULL}};
static const StrmTimestampText strm_halves[] = {{"AM", 0}, {"PM", 1}, {NULL}};

/* The texts of a field that has any, by style: 3 short, 4 full, 5 narrow. */
const StrmTimestampText *
strm_timestamp_texts(StrmTimestampField field, int style)
{
	switch (field)
	{
		case STRM_MONTH_OF_YEAR:
			return style == 3 ? strm_months_short : style == 4 ? strm_months_full : strm_months_narrow;
		case STRM_DAY_OF_WEEK:
			return style == 3 ? strm_days_short : style == 4 ? strm_days_full : strm_days_narrow;
		case STRM_QUARTER_OF_YEAR:
			return style == 3 ? strm_quarters_short : style == 4 ? strm_quarters_full : strm_quarters_narrow;
		case STRM_ERA:
			return style == 3 ? strm_eras_short : style == 4 ? strm_eras_full : strm_eras_narrow;
		default:
			return strm_halves;
	}
}
