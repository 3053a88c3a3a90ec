package admission

import (
	"math"
	"slices"
	"syscall"
)

// OpenFiles is how many files and connections the process may have open: RLIMIT_NOFILE, whose soft limit package os has
// raised to the hard one.
func OpenFiles() int {
	var l syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &l); err != nil || l.Cur > math.MaxInt32 {
		return math.MaxInt32
	}
	return int(l.Cur) //nolint:gosec // bounded
}

// What the database takes of the files, and the least that is left for all but database and doors.
const (
	databaseLeast, databaseMost = 64, 512
	othersLeast                 = 64
	doorsLeast                  = 16
)

// Split divides files among the database, the doors, which want so many connections each, and all else that opens files:
// connectors, throwers, broker, store, scripts and logs, which are left a quarter. Doors that want no more than
// their part get what they want, and the others share the rest.
func Split(files int, wants ...int) (database int, doors []int) {
	database = min(max(files/4, databaseLeast), databaseMost)
	left := max(files-database-max(files/4, othersLeast), doorsLeast)
	doors = make([]int, len(wants))
	order := make([]int, len(wants))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return wants[a] - wants[b] })
	for n, i := range order {
		doors[i] = min(wants[i], left/(len(order)-n))
		left -= doors[i]
	}
	return database, doors
}
