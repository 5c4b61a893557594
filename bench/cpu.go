package main

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// tick is the unit of /proc/PID/stat: USER_HZ is 100 on all that Go runs on.
const tick = time.Second / 100

// processorTime returns the processor time, user and system together, that the
// processes have taken so far, from the operating system's accounting
// (proc_pid_stat(5)). What else a noisy machine does hardly moves it. It fails
// where there is no /proc.
func processorTime(pids []int) (total time.Duration, err error) {
	for _, pid := range pids {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil {
			return 0, err
		}
		taken, err := parseStat(string(text))
		if err != nil {
			return 0, err
		}
		total += taken
	}
	return total, nil
}

// parseStat reads the fields 14 and 15, utime and stime. The second field, the
// program's name in parentheses, may hold anything.
func parseStat(text string) (time.Duration, error) {
	fields := strings.Fields(text[strings.LastIndexByte(text, ')')+1:])
	if len(fields) < 13 {
		return 0, errors.New("/proc/PID/stat has too few fields")
	}
	user, err := strconv.ParseInt(fields[11], 10, 64)
	if err != nil {
		return 0, err
	}
	system, err := strconv.ParseInt(fields[12], 10, 64)
	return time.Duration(user+system) * tick, err
}
