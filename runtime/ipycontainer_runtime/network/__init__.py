"""Networks of containers: drivers, addresses, the firewall, names, published ports, the uplink."""
