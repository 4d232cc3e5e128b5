// Command light-agent stands in for the agent server in measurements: it starts at once and runs commands, and nothing
// else. A command's answer has its output whole.
package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"log"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"sync"
	"syscall"
)

type output struct {
	Kind      string `json:"kind"`
	ID        string `json:"id"`
	CommandID string `json:"command_id"`
	Order     int    `json:"order"`
	ExitCode  int    `json:"exit_code"`
	Stdout    string `json:"stdout"`
	Stderr    string `json:"stderr"`
}

type outputs struct {
	lock sync.Mutex
	of   map[string]output
	next int
}

// start runs a command in the background: POST /api/bash/start_bash_command.
func (outputs *outputs) start(writer http.ResponseWriter, request *http.Request) {
	var given struct{ Command, Cwd string }
	if err := json.NewDecoder(request.Body).Decode(&given); err != nil {
		http.Error(writer, err.Error(), http.StatusUnprocessableEntity)
		return
	}
	outputs.lock.Lock()
	outputs.next++
	id := fmt.Sprint("command-", outputs.next)
	outputs.lock.Unlock()
	go outputs.run(id, given.Command, given.Cwd)
	answer(writer, map[string]string{"id": id})
}

func (outputs *outputs) run(id, text, directory string) {
	var stdout, stderr bytes.Buffer
	command := exec.Command("/bin/sh", "-c", text)
	command.Dir, command.Stdout, command.Stderr = directory, &stdout, &stderr
	code := 0
	if err := command.Run(); err != nil {
		code = 126
		if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
			code = exit.ExitCode()
		} else {
			stderr.WriteString(err.Error())
		}
	}
	outputs.lock.Lock()
	defer outputs.lock.Unlock()
	outputs.of[id] = output{"BashOutput", id + "-output", id, 0, code, stdout.String(), stderr.String()}
}

// search gives a command's output once it has ended: GET /api/bash/bash_events/search.
func (outputs *outputs) search(writer http.ResponseWriter, request *http.Request) {
	found := []output{}
	outputs.lock.Lock()
	if one, ended := outputs.of[request.URL.Query().Get("command_id__eq")]; ended {
		found = append(found, one)
	}
	outputs.lock.Unlock()
	answer(writer, map[string]any{"items": found, "next_page_id": nil})
}

func answer(writer http.ResponseWriter, body any) {
	writer.Header().Set("Content-Type", "application/json")
	if err := json.NewEncoder(writer).Encode(body); err != nil {
		log.Print(err)
	}
}

func always(body any) http.HandlerFunc {
	return func(writer http.ResponseWriter, _ *http.Request) { answer(writer, body) }
}

func main() {
	port := flag.Int("port", 60000, "port to listen on")
	flag.Parse()
	// Process 1 ignores signals that it does not ask for.
	ended := make(chan os.Signal, 1)
	signal.Notify(ended, syscall.SIGTERM)
	go func() {
		<-ended
		os.Exit(0)
	}()
	outputs := &outputs{of: map[string]output{}}
	http.HandleFunc("GET /health", always("OK"))
	http.HandleFunc("GET /server_info", always(map[string]float64{"uptime": 1, "idle_time": 1}))
	http.HandleFunc("GET /api/conversations/count", always(0))
	http.HandleFunc("POST /api/bash/start_bash_command", outputs.start)
	http.HandleFunc("GET /api/bash/bash_events/search", outputs.search)
	log.Fatal(http.ListenAndServe(fmt.Sprint(":", *port), nil))
}
