package pebble

import (
	"encoding/binary"
	"fmt"

	"jasmind/internal/localdb"
	"jasmind/internal/queue"
)

// Waiting counts the messages of each queue in a database, the delayed ones included; queues without any
// are left out. It needs no driver: it is for a start that has to know whether messages were left behind.
func Waiting(db *localdb.DB) (map[queue.Name]int, error) {
	names, err := names(db)
	if err != nil {
		return nil, err
	}
	byID := make(map[uint32]queue.Name, len(names))
	for name, id := range names {
		byID[id] = name
	}
	counts := make(map[queue.Name]int)
	for _, ns := range []localdb.Namespace{nsReady, nsDelayed} {
		if err := db.Scan(ns.Prefix(), localdb.PrefixEnd(ns.Prefix()), func(key, _ []byte) bool {
			if len(key) < 5 {
				return true
			}
			if name, ok := byID[binary.BigEndian.Uint32(key[1:])]; ok {
				counts[name]++
			}
			return true
		}); err != nil {
			return nil, fmt.Errorf("queue: count what waits: %w", err)
		}
	}
	return counts, nil
}
