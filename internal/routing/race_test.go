//go:build race

package routing

// Under the race detector sync.Pool drops entries at random, so that what takes from one allocates.
const raceDetector = true
