package main

import (
	"bufio"
	"fmt"
	"net"
	"strconv"
	"strings"
)

// commandsPerRead asks a Redis how many commands it got with each read from a
// connection: what is pipelined comes together.
func commandsPerRead(address string) (float64, error) {
	conn, err := net.Dial("tcp", address)
	if err != nil {
		return 0, err
	}
	defer conn.Close()
	if _, err := fmt.Fprint(conn, "INFO stats\r\nQUIT\r\n"); err != nil {
		return 0, err
	}
	figures := make(map[string]float64)
	lines := bufio.NewScanner(conn)
	for lines.Scan() {
		name, value, _ := strings.Cut(strings.TrimSpace(lines.Text()), ":")
		if figure, err := strconv.ParseFloat(value, 64); err == nil {
			figures[name] = figure
		}
	}
	commands, reads := figures["total_commands_processed"], figures["total_reads_processed"]
	if commands == 0 || reads == 0 {
		return 0, fmt.Errorf("the Redis at %s tells no total_commands_processed and total_reads_processed, as it does from version 7.0 on", address)
	}
	return commands / reads, nil
}
