package smscsim

// Receiving tells whether the peer at an address can be sent to.
func (sim *Simulator) Receiving(addr string) bool {
	sim.mu.Lock()
	defer sim.mu.Unlock()
	for _, a := range sim.accounts {
		a.mu.Lock()
		for _, p := range a.receivers {
			if p.session.RemoteAddr().String() == addr {
				a.mu.Unlock()
				return true
			}
		}
		a.mu.Unlock()
	}
	return false
}
