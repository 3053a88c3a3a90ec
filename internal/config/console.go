package config

import (
	"fmt"
	"time"

	"jasmind/internal/account"
	"jasmind/internal/logging"
)

// consoleKeys are those of [jcli].
var consoleKeys = []Key{
	{Section: "jcli", Name: "bind", Default: "127.0.0.1", Doc: "Address to listen on.", set: text(func(c *Config) *string { return &c.Console.Bind })},
	{Section: "jcli", Name: "port", Default: "8990", Doc: "Port to listen on; 0: any free one.", set: port(func(c *Config) *int { return &c.Console.Port })},
	{Section: "jcli", Name: "authentication", Default: "True", Doc: "Whether the console asks for username and password. Do not switch it off unless nobody else can connect.",
		set: boolean(func(c *Config) *bool { return &c.Console.Authentication })},
	{Section: "jcli", Name: "admin_username", Default: "jcliadmin", Doc: "Username of the console.", set: text(func(c *Config) *string { return &c.Console.AdminUsername })},
	{Section: "jcli", Name: "admin_password", Default: "79e9b0aa3f3e7c53e916f7ac47439bcb", Doc: "Digest of the password: $argon2id$..., or 32 hexadecimal digits of MD5 as in the original.",
		set: func(c *Config, v string) error {
			p, err := account.ParseHash(v)
			if err != nil {
				return fmt.Errorf("is neither an argon2id digest ($argon2id$...) nor 32 hexadecimal digits: %w", err)
			}
			c.Console.AdminPassword = p
			return nil
		}},
	{Section: "jcli", Name: "idle_timeout", Default: "3600", Doc: "Seconds without a key from the operator after which his session ends.",
		set: seconds(1, day, func(c *Config) *time.Duration { return &c.Console.IdleTimeout })},
	{Section: "jcli", Name: "max_sessions", Default: "100", Doc: "Sessions at a time.", set: number(1, 10000, func(c *Config) *int { return &c.Console.MaxSessions })},
}

func consoleLog(c *Config) *logging.Config { return &c.ConsoleLog }

// routerKeys are those of [router] that have a meaning without a perspective broker.
var routerKeys = []Key{
	{Section: "router", Name: "store_path", Default: storeFolder, Doc: "Folder of the console's profiles.", set: text(func(c *Config) *string { return &c.Paths.Store })},
	{Section: "router", Name: "persistence_timer_secs", Default: "60", Doc: "Seconds between two looks whether the configuration changed and is to be saved in its profile; 0: never by itself.",
		set: seconds(0, day, func(c *Config) *time.Duration { return &c.PersistEvery })},
}
