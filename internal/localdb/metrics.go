package localdb

// Metrics is what the database does, at one moment.
type Metrics struct {
	Disk        uint64 // octets of all files, those about to be deleted included
	WAL         uint64 // octets of the log that are not yet in tables
	MemTables   uint64 // octets of the memtables
	Tables      int64  // table files
	L0          int64  // of these, files of the level that grows when compaction cannot keep up
	Flushes     int64
	Compactions int64

	Commits uint64 // batches committed
	Groups  uint64 // writes to the log they needed
	Swept   uint64 // expired values removed
	Space   Space
}

// Metrics reads the counters. It takes some microseconds. Of a database that was closed or has failed it
// tells only its own.
func (d *DB) Metrics() Metrics {
	m := Metrics{
		Commits: d.commits.commits.Load(),
		Groups:  d.commits.batches.Load(),
		Swept:   d.expiry.swept.Load(),
		Space:   d.Space(),
	}
	if d.enter() != nil {
		return m
	}
	defer d.reads.leave()
	p := d.pdb.Metrics()
	m.Disk = p.DiskSpaceUsage()
	m.WAL = p.WAL.Size
	m.MemTables = p.MemTable.Size
	m.L0 = p.Levels[0].TablesCount
	m.Flushes = p.Flush.Count
	m.Compactions = p.Compact.Count
	for i := range p.Levels {
		m.Tables += p.Levels[i].TablesCount
	}
	return m
}
