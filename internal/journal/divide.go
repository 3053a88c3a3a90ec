package journal

import (
	"context"
	"errors"

	"jasmind/internal/queue"
)

// Passes tells whether an error of a commit may pass by itself, whatever the entry: broker, store or disk
// cannot be reached now, or the caller does not wait any longer. Any other error is the entry's own.
func Passes(err error) bool {
	return errors.Is(err, queue.ErrUnavailable) || errors.Is(err, queue.ErrClosed) ||
		errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
}

// Divide commits items together and, when their entry is refused for a reason that one of them may have, by halves, so
// that those which are at fault keep none of the others. own tells such reasons apart: after any other error nothing more is
// tried, and it is the error of all items which are left. Divide keeps the order of the items and gives an error for each,
// nil for what is durable.
func Divide[T any](items []T, own func(error) bool, commit func([]T) error) []error {
	errs := make([]error, len(items))
	_ = divide(items, errs, own, commit) // errs has it
	return errs
}

// divide gives the error after which nothing more is tried, if there was one.
func divide[T any](items []T, errs []error, own func(error) bool, commit func([]T) error) error {
	if len(items) == 0 {
		return nil
	}
	err := commit(items)
	switch {
	case err == nil:
		return nil
	case !own(err):
		fill(errs, err)
		return err
	case len(items) == 1:
		errs[0] = err
		return nil
	}
	half := len(items) / 2
	if err := divide(items[:half], errs[:half], own, commit); err != nil {
		fill(errs[half:], err)
		return err
	}
	return divide(items[half:], errs[half:], own, commit)
}

func fill(errs []error, err error) {
	for i := range errs {
		errs[i] = err
	}
}
