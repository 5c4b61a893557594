package limit

import "net/netip"

// Client is who a call comes from, at the three widths that limits go by. The
// zero Client is all clients without an address, as on a Unix socket; they
// share one client's limits.
type Client struct {
	Address netip.Prefix // IPv4 /32, IPv6 /64: what one machine or home has
	Prefix  netip.Prefix // IPv4 /24, IPv6 /56: its neighbours, or what one line has
	Network netip.Prefix // IPv4 /16, IPv6 /48: what one organization may have
}

// NewClient returns the client at the address. An IPv4 address that is written
// as an IPv6 one is an IPv4 address; a zone is dropped.
func NewClient(addr netip.Addr) Client {
	addr = addr.Unmap() // Prefix drops the zone
	bits := [widths]int{64, 56, 48}
	if addr.Is4() {
		bits = [widths]int{32, 24, 16}
	}
	var at [widths]netip.Prefix
	for w := range at {
		at[w], _ = addr.Prefix(bits[w]) // fails for the zero Addr only
	}
	return Client{at[address], at[prefix], at[network]}
}

// width says how much of the address space counts as one.
type width int

const (
	address width = iota
	prefix
	network
	widths // how many there are
)

func (c Client) at() [widths]netip.Prefix {
	return [widths]netip.Prefix{c.Address, c.Prefix, c.Network}
}
