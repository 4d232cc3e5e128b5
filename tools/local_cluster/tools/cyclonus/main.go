// Tells which connections NetworkPolicies allow. Reads {"policies": [...], "connections": [...]} from its standard
// input, where a connection is a cyclonus Traffic, and prints a JSON array of booleans, one for each connection.
package main

import (
	"encoding/json"
	"log"
	"os"

	"github.com/mattfenwick/cyclonus/pkg/matcher"
	networking "k8s.io/api/networking/v1"
)

type question struct {
	Policies    []*networking.NetworkPolicy `json:"policies"`
	Connections []*matcher.Traffic          `json:"connections"`
}

func main() {
	var asked question
	decoder := json.NewDecoder(os.Stdin)
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&asked); err != nil {
		log.Fatalf("the question: %v", err)
	}
	policies := matcher.BuildNetworkPolicies(false, asked.Policies)
	allowed := make([]bool, len(asked.Connections))
	for index, connection := range asked.Connections {
		allowed[index] = policies.IsTrafficAllowed(connection).IsAllowed()
	}
	if err := json.NewEncoder(os.Stdout).Encode(allowed); err != nil {
		log.Fatal(err)
	}
}
