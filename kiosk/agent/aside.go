package agent

// A kiosk waits nearly all of the time, and a process may run thousands of them. What each waits on is mostly
// its goroutine's stack: that grows for the deepest call, and the runtime halves it only where less than a
// quarter is in use, which a goroutine that waits below a few calls of its own never reaches. So whatever goes
// deep (sensors, JSON, files) runs aside, and the goroutine that waits stays small: 4 KB in place of 16.

// aside runs f on a goroutine of its own, whose stack is given back when f returns, and waits for that.
func aside(f func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		f()
	}()
	<-done
}
