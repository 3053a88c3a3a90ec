package config

// billingKeys are those of [billing], which files of the original do not have.
var billingKeys = []Key{
	{Section: "billing", Name: "refund_on_error", Default: "False",
		Doc: "Give back what was charged at acceptance for parts that ended without being accepted by the SMSC: refused for good, or expired. sms_count is not given back.",
		set: boolean(func(c *Config) *bool { return &c.RefundOnError })},
}

// negated is boolean for a field that says the opposite.
func negated(field func(*Config) *bool) func(*Config, string) error {
	return func(c *Config, v string) error {
		var on bool
		err := boolean(func(*Config) *bool { return &on })(c, v)
		*field(c) = !on
		return err
	}
}
