package redis

import (
	"errors"
	"testing"

	"jasmind/internal/queue"
)

type reply string

func (r reply) Error() string { return string(r) }
func (reply) RedisError()     {}

func TestErrorsThatPass(t *testing.T) {
	for text, passes := range map[string]bool{
		"ERR max number of clients reached":                                                        true,
		"OOM command not allowed when used memory > 'maxmemory'.":                                  true,
		"EXECABORT Transaction discarded because of previous errors.":                              true,
		"LOADING Redis is loading the dataset in memory":                                           true,
		"READONLY You can't write against a read only replica.":                                    true,
		"READONLY You can't write against a read only replica. script: 5c, on @user_script:3.":     true,
		"ERR Error running script (call to f_5c): @user_script:3: @user_script: 3: -OOM command n": true,
		"ERR Error running script (call to f_5c): @user_script:3: READONLY You can't write":        true,
		"ERR Error running script (call to f_5c): @user_script:3: -LOADING Redis is loading":       true,
		"MISCONF Redis is configured to save RDB snapshots":                                        true,
		"ERR unknown command 'HSET'":                                                               false,
		"ERR hash value is not an integer":                                                         false,
		"WRONGTYPE Operation against a key holding the wrong kind of value":                        false,
	} {
		if err := classify(reply(text)); errors.Is(err, queue.ErrUnavailable) != passes {
			t.Errorf("%s: passes: %v, want %v", text, !passes, passes)
		}
	}
}
