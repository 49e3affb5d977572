// Command probe is the smallest HTTP client and server for looking at a cluster from inside:
//
//	probe get URL       prints the body; exit code 0 for 2xx, 1 otherwise
//	probe serve ADDRESS TEXT   answers every path with TEXT
//
// It stands in for busybox's wget, which Debian 12 links statically against a resolver that crashes.
package main

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"
)

const timeout = 10 * time.Second

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "probe:", err)
		os.Exit(1)
	}
}

func run(arguments []string) error {
	switch {
	case len(arguments) == 2 && arguments[0] == "get":
		return get(arguments[1])
	case len(arguments) == 3 && arguments[0] == "serve":
		return serve(arguments[1], arguments[2])
	}
	return errors.New("usage: probe get URL | probe serve ADDRESS TEXT")
}

func get(url string) error {
	client := http.Client{Timeout: timeout}
	answer, err := client.Get(url)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if _, err := io.Copy(os.Stdout, answer.Body); err != nil {
		return err
	}
	if answer.StatusCode/100 != 2 {
		return errors.New(answer.Status)
	}
	return nil
}

func serve(address, text string) error {
	handler := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, text) })
	server := http.Server{Addr: address, Handler: handler, ReadHeaderTimeout: timeout}
	return server.ListenAndServe()
}
