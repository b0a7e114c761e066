package swarm

// Usage is what this process itself has used, without the processes that it started.
type Usage struct {
	CPUSeconds float64 `json:"cpu_seconds"` // in user and system mode
	// PeakMemory is the most that was resident at any time, in bytes, and BytesPerKiosk its equal share.
	PeakMemory    int64 `json:"peak_memory_bytes"`
	BytesPerKiosk int64 `json:"bytes_per_kiosk"`
}
