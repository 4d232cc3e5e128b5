// containerd-shim-runsc-v1, gVisor's shim for containerd, which also starts without CAP_SYS_RESOURCE (as in containers
// and micro-VMs).
//
// The shim lowers its OOM score and ends if the kernel refuses. In a user namespace it goes on. So without the
// capability this program tells it that it is in one; the shim uses that for nothing else but the flags of bind mounts.
package main

import (
	"os"
	_ "unsafe" // for linkname

	_ "github.com/moby/sys/userns"
	"gvisor.dev/gvisor/shim/v1/cli"
)

//go:linkname inUserNS github.com/moby/sys/userns.inUserNS
var inUserNS func() bool

func main() {
	if !mayLowerScore() {
		inUserNS = func() bool { return true }
	}
	cli.Main()
}

// mayLowerScore tries it on this process, whose score nobody needs.
func mayLowerScore() bool {
	return os.WriteFile("/proc/self/oom_score_adj", []byte("-999"), 0) == nil
}
