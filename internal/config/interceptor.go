package config

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"jasmind/internal/logging"
)

// interceptorKeys are those of [interceptor], which the original has in a file of its own.
var interceptorKeys = []Key{
	{Section: "interceptor", Name: "python", Default: "python3", Doc: "Interpreter of the Python scripts, a path or a name in PATH. Without one, Python scripts cannot be added; everything else works.",
		set: func(c *Config, v string) error {
			if v == "" {
				return errors.New("is empty")
			}
			c.Interceptor.Python = v
			return nil
		}},
	{Section: "interceptor", Name: "workers", Default: "0", Doc: "Python processes at most, started as they are needed; 0: twice the cores, at least 4.",
		set: number(0, 1024, func(c *Config) *int { return &c.Interceptor.Workers })},
	{Section: "interceptor", Name: "queue", Default: "1000", Doc: "Messages that wait for one of them at most; more are refused.",
		set: number(1, 1000000, func(c *Config) *int { return &c.Interceptor.Queue })},
	{Section: "interceptor", Name: "timeout", Default: "10", Doc: "Seconds that one run of a script may take, and that a message waits for a process.",
		set: seconds(0.01, 3600, func(c *Config) *time.Duration { return &c.Interceptor.Timeout })},
	{Section: "interceptor", Name: "memory", Default: "1024", Doc: "MiB of address space of a process, from 64; 0: as much as it wants.",
		set: func(c *Config, v string) error {
			var mib int
			if err := number(0, 1<<20, func(*Config) *int { return &mib })(c, v); err != nil {
				return err
			}
			switch {
			case mib == 0:
				c.Interceptor.Memory = -1
			case mib < 64:
				return errors.New(v + " is less than 64")
			default:
				c.Interceptor.Memory = int64(mib) << 20
			}
			return nil
		}},
	{Section: "interceptor", Name: "path", Doc: "Folders, separated by colons, from which scripts import beside the interpreter's own. PYTHONPATH and a user's packages have no effect.",
		set: func(c *Config, v string) error {
			c.Interceptor.Path = filepath.SplitList(v)
			for _, dir := range c.Interceptor.Path {
				if !filepath.IsAbs(dir) {
					return fmt.Errorf("%q is no absolute path", dir)
				}
			}
			return nil
		}},
	{Section: "interceptor", Name: "environment", Doc: "Names, separated by spaces or commas, of environment variables that scripts see; beside them only PATH, HOME, LANG, TZ and the like, so that no secret of the gateway reaches a script.",
		set: func(c *Config, v string) error {
			c.Interceptor.Environment = strings.FieldsFunc(v, func(r rune) bool { return r == ' ' || r == ',' })
			for _, name := range c.Interceptor.Environment {
				if strings.ContainsAny(name, "=") {
					return fmt.Errorf("%q is no name of a variable", name)
				}
			}
			return nil
		}},
	{Section: "interceptor", Name: "log_slow_script", Default: "1", Doc: "Seconds from which the run of a script is logged as slow; 0: every run; -1: none.",
		set: func(c *Config, v string) error {
			var d time.Duration
			err := seconds(-1, 3600, func(*Config) *time.Duration { return &d })(c, v)
			if d == 0 {
				d = 1 // the shortest time: every run
			}
			c.Interceptor.SlowScript = d
			return err
		}},
}

func interceptorLog(c *Config) *logging.Config { return &c.InterceptorLog }
