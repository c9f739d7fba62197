/*
 * bytes.h
 *	  Where bytes come from and go to: files, objects of a store, and what compresses or converts on the way. The
 *	  interface that formats read and write through, and connectors implement.
 *
 *	  Sources and sinks outlive transactions: they live in the memory context that was current when they were made, and
 *	  what they hold outside it (descriptors, connections) is released when that context is reset. All calls but discard
 *	  may raise, and can be interrupted.
 */
#ifndef STRM_COMMON_BYTES_H
#define STRM_COMMON_BYTES_H

typedef struct StrmByteSource
{
	/* Reads 1 to size bytes into buffer and returns how many; 0 at the end, and from then on. */
	Size		(*read) (struct StrmByteSource *self, char *buffer, Size size);
	/* Releases what it holds; idempotent. */
	void		(*close) (struct StrmByteSource *self);
} StrmByteSource;

/*
 * Nothing of what is written to a sink can be seen in its place before publish, and then all of it. The order is: write
 * any number of times, finish, publish.
 */
typedef struct StrmByteSink
{
	void		(*write) (struct StrmByteSink *self, const char *data, Size size);
	/* No more will be written: transfers the rest, so that publish has next to nothing left that can fail. */
	void		(*finish) (struct StrmByteSink *self);
	/* Makes it appear in its place. */
	void		(*publish) (struct StrmByteSink *self);
	/*
	 * Takes away what was written, published or not, as far as rights allow. Never raises, needs no transaction, works
	 * in any state, idempotent. Returns false when something had to be left behind.
	 */
	bool		(*discard) (struct StrmByteSink *self);
	/*
	 * Set by publish when what was replaced is kept, so that discard can put it back, until settle: it is not wanted
	 * any more. Like discard, settle never raises, is idempotent, and returns false when something was left behind.
	 */
	bool		kept;
	bool		(*settle) (struct StrmByteSink *self);
} StrmByteSink;

#define strm_bytes_read(source, buffer, size) ((source)->read((source), (buffer), (size)))
#define strm_bytes_close(source) ((source)->close(source))
#define strm_bytes_write(sink, data, size) ((sink)->write((sink), (data), (size)))
#define strm_bytes_finish(sink) ((sink)->finish(sink))
#define strm_bytes_publish(sink) ((sink)->publish(sink))
#define strm_bytes_discard(sink) ((sink)->discard(sink))
#define strm_bytes_settle(sink) ((sink)->settle(sink))

#endif							/* STRM_COMMON_BYTES_H */
