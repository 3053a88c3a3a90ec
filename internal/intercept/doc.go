// Package intercept runs a user's script on a message and returns a verdict: the message as
// the script left it, a refusal with the script's own status pair, or an answer that ends the
// journey here. It also evaluates scripts that are filters (EvalPyFilter).
//
// Scripts are Python, run by a pool of CPython processes outside of this one, or rules of the
// expression language, run in this process:
//
//	script, err := intercept.ParseScript(ctx, "python3(/opt/jasmin-scripts/mt.py)")
//	script, err := intercept.ParseScript(ctx, `expr(destination_addr startsWith "33" ? tag("fr") : true)`)
//
//	pool := intercept.New(intercept.Config{Workers: 8}, log)
//	defer pool.Close()
//	err = pool.Check(ctx, script)               // when an operator defines it
//	verdict, err := pool.Run(ctx, script, msg)  // on each message
//	ok, err := pool.Evaluate(ctx, script, msg)  // as a filter
//
// A script is copied when it is defined. Whatever one does, raising, looping for ever,
// allocating without end or killing its process, hurts the message it was run on and no other.
// The package knows neither routes nor doors; it decides no more than what the script said.
package intercept
