package redis

import (
	"fmt"
	"testing"
)

func TestNextMemory(t *testing.T) {
	info := func(used, spare, limit int, policy string) string {
		return fmt.Sprintf("# Memory\r\nused_memory:%d\r\nused_memory_human:1.00M\r\nmaxmemory:%d\r\nmaxmemory_policy:%s\r\nmem_not_counted_for_evict:%d\r\n",
			used, limit, policy, spare)
	}
	for _, tt := range []struct {
		name string
		low  bool // before
		info string
		mark uint64
		want Memory
	}{
		{"no limit", true, info(900, 0, 0, "noeviction"), 0, Memory{}},
		{"keys are dropped instead", true, info(1000, 0, 1000, "allkeys-lru"), 0, Memory{}},
		{"at the mark", false, info(900, 0, 1000, "noeviction"), 0, Memory{Limit: 1000, Free: 100, Mark: 100}},
		{"below it", false, info(901, 0, 1000, "noeviction"), 0, Memory{Limit: 1000, Free: 99, Mark: 100, Low: true}},
		{"buffers that count for nothing", false, info(950, 50, 1000, "noeviction"), 0, Memory{Limit: 1000, Free: 100, Mark: 100}},
		{"above it, not by a quarter", true, info(876, 0, 1000, "noeviction"), 0, Memory{Limit: 1000, Free: 124, Mark: 100, Low: true}},
		{"above it by a quarter", true, info(875, 0, 1000, "noeviction"), 0, Memory{Limit: 1000, Free: 125, Mark: 100}},
		{"more than there is", false, info(2000, 0, 1000, "noeviction"), 0, Memory{Limit: 1000, Mark: 100, Low: true}},
		{"a tiny one", false, info(2000, 0, 1, "noeviction"), 0, Memory{Limit: 1, Low: true}},
		{"a mark of one's own", false, info(401, 0, 1000, "noeviction"), 600, Memory{Limit: 1000, Free: 599, Mark: 600, Low: true}},
		{"a large one", false, info(0, 0, 1<<40, "noeviction"), 0, Memory{Limit: 1 << 40, Free: 1 << 40, Mark: 256 << 20}},
		{"nothing that is known", false, "what\r\nused_memory:x", 0, Memory{}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := nextMemory(Memory{Low: tt.low}, tt.info, tt.mark); got != tt.want {
				t.Errorf("got %+v, want %+v", got, tt.want)
			}
		})
	}
}
