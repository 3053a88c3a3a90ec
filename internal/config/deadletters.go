package config

import "time"

// deadLetterKeys are those of [dead-letters], which the original does not have.
var deadLetterKeys = []Key{
	{Section: "dead-letters", Name: "max_kept", Default: "100000", Doc: "How many dead letters can be listed, brought back and purged at a time; more wait in their queue, jasmind.dead_letter.",
		set: number(1, 100_000_000, func(c *Config) *int { return &c.DeadLetters.Max })},
	{Section: "dead-letters", Name: "retention", Default: "0", Doc: "Seconds after which a dead letter is dropped for good; 0: never.",
		set: seconds(0, 10*365*day, func(c *Config) *time.Duration { return &c.DeadLetters.Retention })},
}
