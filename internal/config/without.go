package config

import (
	"errors"
	"fmt"
	"slices"

	"jasmind/internal/account"
	"jasmind/internal/logging"
)

// Keys of the original without effect here. They are read and checked, so that its files
// start unchanged; one that is set to something else than its default is named at start
// and by config check, with the reason.

const (
	onePiece   = "jasmind is one process, which has no internal ports"
	onOurs     = "interceptor scripts run in processes of the gateway's own"
	alwaysBack = "the connection always comes back by itself"
)

// without is a key that has no effect here, and why.
func without(section, name, value, why string, check func(*Config, string) error) Key {
	return Key{Section: section, Name: name, Default: value, Doc: "Without effect here: " + why + ".", without: why, set: check}
}

// scratch checks a value that is not kept.
func scratch[T any](set func(func(*Config) *T) func(*Config, string) error) func(*Config, string) error {
	return set(func(*Config) *T { return new(T) })
}

var (
	anyText    = scratch(text)
	anyPort    = scratch(port)
	anyBoolean = scratch(boolean)
	anyWhole   = scratch(func(f func(*Config) *int) func(*Config, string) error { return number(0, 1<<31-1, f) })
)

func anyHash(_ *Config, v string) error {
	if v == "" {
		return nil
	}
	if _, err := account.ParseHash(v); err != nil {
		return errors.New("is no password digest of 32 hexadecimal digits")
	}
	return nil
}

// internalPort are the keys of a port between processes of the original.
func internalPort(section, portNumber, username, digest, why string) []Key {
	return []Key{
		without(section, "bind", "0.0.0.0", why, anyText),
		without(section, "port", portNumber, why, anyPort),
		without(section, "authentication", "True", why, anyBoolean),
		without(section, "admin_username", username, why, anyText),
		without(section, "admin_password", digest, why, anyHash),
	}
}

// internalClient are those of a client of such a port.
func internalClient(section, portNumber, username, why string) []Key {
	return []Key{
		without(section, "host", "127.0.0.1", why, anyText),
		without(section, "port", portNumber, why, anyPort),
		without(section, "username", username, why, anyText),
		without(section, "password", "", why, anyText),
	}
}

var serverPBKeys = slices.Concat(internalPort("smpp-server-pb", "14000", "smppsadmin", "e97ab122faa16beea8682d84f3d2eea4", onePiece),
	voidLog("smpp-server-pb", "smpp-server-pb.log"), internalClient("smpp-server-pb-client", "14000", "smppsadmin", onePiece))

// voidLog are the keys of a log in which nothing would ever be written.
func voidLog(section, file string) []Key {
	out := logKeys(section, file, "W6", func(*Config) *logging.Config { return new(logging.Config) })
	for i := range out {
		k := &out[i]
		check := k.set
		if k.Name != "log_level" && k.Name != "log_file" {
			check = func(c *Config, v string) error {
				var l logging.Config
				switch k.Name {
				case "log_rotate":
					l.Rotate = v
				case "log_format":
					l.Format = v
				case "log_date_format":
					l.DateFormat = v
				}
				return l.Validate()
			}
		}
		*k = without(section, k.Name, k.Default, onePiece, check)
	}
	return out
}

var managementKeys = append([]Key{
	{Section: "client-management", Name: "store_path", Default: "", Doc: "Folder of the console's profiles, unless [router] store_path is set; the original keeps those of the connectors apart.",
		set: func(c *Config, v string) error { c.managementStore = v; return nil }},
	without("client-management", "pickle_protocol", "2", onePiece, anyWhole),
}, internalPort("client-management", "8989", "cmadmin", "e1c5136acafb7016bc965597c992eb82", onePiece)...)

// chooseStore honours [client-management] store_path where [router] has none.
func (l *loader) chooseStore() {
	management, ok := l.explicit[id{"client-management", "store_path"}]
	if !ok || l.cfg.managementStore == "" {
		return
	}
	if _, ok := l.explicit[id{"router", "store_path"}]; !ok {
		l.cfg.Paths.Store = l.cfg.managementStore
	} else if l.cfg.managementStore != l.cfg.Paths.Store {
		l.cfg.Unserved = append(l.cfg.Unserved, fmt.Sprintf("[client-management] store_path (%s): profiles are whole, and [router] store_path says where", management.source))
	}
}
