// Command volume-helper makes and removes the directory of one volume. Its arguments are those that
// local-path-provisioner gives to its set-up and tear-down commands:
//
//	volume-helper -p DIRECTORY -s BYTES -m Filesystem|Block -a create|delete
package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
)

func main() {
	directory := flag.String("p", "", "absolute path of the volume's directory")
	action := flag.String("a", "", "create or delete")
	mode := flag.String("m", "Filesystem", "volume mode; only Filesystem can be made")
	flag.Int64("s", 0, "size in bytes; it is not enforced")
	flag.Parse()
	if err := run(*action, *mode, *directory); err != nil {
		fmt.Fprintln(os.Stderr, "volume-helper:", err)
		os.Exit(1)
	}
}

func run(action, mode, directory string) error {
	if !filepath.IsAbs(directory) {
		return fmt.Errorf("-p %q is not an absolute path", directory)
	}
	switch {
	case action == "create" && mode != "Filesystem":
		return fmt.Errorf("-m %s: only volumes of mode Filesystem can be made", mode)
	case action == "create":
		// Whoever may write is for the kubelet to say, by the pod's fsGroup.
		return os.MkdirAll(directory, 0o770)
	case action == "delete":
		return os.RemoveAll(directory)
	default:
		return fmt.Errorf("-a %q is neither create nor delete", action)
	}
}
