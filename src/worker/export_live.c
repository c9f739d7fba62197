/*
 * export_live.c
 *	  Live numbers of the exporters of an export worker.
 *
 *	  They are in a dynamic segment of the worker, which is gone when the worker has ended or made another one and
 *	  nobody else is attached any more. Readers take its handle under the lock and attach without: when that fails, they
 *	  look again. The segment says what it is, as its handle might have been given to another one meanwhile.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "storage/dsm.h"
#include "utils/resowner.h"

#include "strm_privacy.h"
#include "worker/state_private.h"

#define STRM_EXPORT_LIVE_MAGIC 0x7374726d
#define STRM_EXPORT_LIVE_TRIES 10

/* Begins a segment of live numbers; exporters follow, then partitions, both aligned. */
typedef struct StrmExportLiveHeader
{
	uint32		magic;
	int			nexporters;
	int			npartitions;
	pg_uuid_t	cluster;
} StrmExportLiveHeader;

/* This process's segment, when it is an export worker. */
static dsm_segment *own_live = NULL;

/* Where exporters and partitions of a segment lie; returns its size. */
static Size
strm_export_live_layout(int nexporters, int npartitions, Size *exporters, Size *partitions)
{
	*exporters = MAXALIGN(sizeof(StrmExportLiveHeader));
	*partitions = add_size(*exporters, MAXALIGN(mul_size(nexporters, sizeof(StrmExportLive))));
	return add_size(*partitions, mul_size(npartitions, sizeof(StrmExportPartition)));
}

void
strm_export_live_publish(int nexporters, int npartitions, StrmExportLive **exporters, StrmExportPartition **partitions)
{
	StrmExportSlot *slot = strm_export_slot_own();
	dsm_segment *old = own_live;
	Size		exporters_at;
	Size		partitions_at;
	Size		size = strm_export_live_layout(nexporters, npartitions, &exporters_at, &partitions_at);
	dsm_segment *segment = dsm_create(size, 0);
	char	   *base = dsm_segment_address(segment);
	StrmExportLiveHeader *header = (StrmExportLiveHeader *) base;

	/* beyond the transaction that may be open */
	if (CurrentResourceOwner != NULL)
		dsm_pin_mapping(segment);
	memset(base, 0, size);
	header->nexporters = nexporters;
	header->npartitions = npartitions;
	header->cluster = slot->cluster;
	header->magic = STRM_EXPORT_LIVE_MAGIC;
	*exporters = (StrmExportLive *) (base + exporters_at);
	*partitions = (StrmExportPartition *) (base + partitions_at);

	own_live = segment;
	LWLockAcquire(strm_worker_lock, LW_EXCLUSIVE);
	slot->data = dsm_segment_handle(segment);
	LWLockRelease(strm_worker_lock);
	if (old != NULL)
		dsm_detach(old);
}

/* Attaches to a cluster's live numbers; NULL: there are none. */
static dsm_segment *
strm_export_live_attach(const pg_uuid_t *cluster)
{
	for (int i = 0; i < STRM_EXPORT_LIVE_TRIES; i++)
	{
		dsm_handle	handle = strm_export_slot_data(cluster);
		dsm_segment *segment;

		if (handle == 0)
			return NULL;
		segment = dsm_attach(handle);
		if (segment != NULL)
			return segment;
		CHECK_FOR_INTERRUPTS();
	}
	return NULL;
}

/*
 * Copies what a segment holds. The worker may write meanwhile: what is used to find something is checked in the copy.
 */
static int
strm_export_live_copy(dsm_segment *segment, const pg_uuid_t *cluster, StrmExportLive **exporters,
					  StrmExportPartition **partitions)
{
	char	   *base = dsm_segment_address(segment);
	StrmExportLiveHeader header;
	Size		exporters_at;
	Size		partitions_at;
	pg_uuid_t	none = {0};
	int			n = 0;

	if (dsm_segment_map_length(segment) < sizeof(StrmExportLiveHeader))
		return 0;
	memcpy(&header, base, sizeof(header));
	if (header.magic != STRM_EXPORT_LIVE_MAGIC || memcmp(&header.cluster, cluster, sizeof(pg_uuid_t)) != 0 ||
		strm_export_live_layout(header.nexporters, header.npartitions, &exporters_at, &partitions_at) >
		dsm_segment_map_length(segment))
		return 0;

	*exporters = palloc(Max(header.nexporters, 1) * sizeof(StrmExportLive));
	*partitions = palloc(Max(header.npartitions, 1) * sizeof(StrmExportPartition));
	memcpy(*partitions, base + partitions_at, header.npartitions * sizeof(StrmExportPartition));
	for (int i = 0; i < header.nexporters; i++)
	{
		StrmExportLive *live = &(*exporters)[n];

		memcpy(live, base + exporters_at + i * sizeof(StrmExportLive), sizeof(StrmExportLive));
		if (memcmp(&live->exporter, &none, sizeof(none)) == 0)
			continue;
		if (live->first < 0 || live->npartitions < 0 || live->first > header.npartitions - live->npartitions)
			live->npartitions = 0;
		n++;
	}
	return n;
}

int
strm_export_live(const pg_uuid_t *cluster, StrmExportLive **exporters, StrmExportPartition **partitions)
{
	dsm_segment *segment;
	int			n;

	*exporters = NULL;
	*partitions = NULL;
	if (!strm_state_ready())
		return 0;
	if (own_live != NULL && memcmp(&strm_export_slot_own()->cluster, cluster, sizeof(pg_uuid_t)) == 0)
		return strm_export_live_copy(own_live, cluster, exporters, partitions);
	segment = strm_export_live_attach(cluster);
	if (segment == NULL)
		return 0;
	n = strm_export_live_copy(segment, cluster, exporters, partitions);
	dsm_detach(segment);
	return n;
}
