package protocol

// EnrollPath is where kiosks enrol, below the address of admin.
const EnrollPath = "/api/v1/enroll"

// EnrollRequest is the body of an enrolment.
type EnrollRequest struct {
	Token  string `json:"token"`
	Serial string `json:"serial"`
	CSR    string `json:"csr"` // PEM, PKCS#10, common name = serial
}

// EnrollResponse is its answer. Chain holds the issuing CA up to the root.
type EnrollResponse struct {
	Certificate string   `json:"certificate"` // PEM
	Chain       string   `json:"chain"`       // PEM
	Brokers     []string `json:"brokers"`     // mqtts://host:port
	KioskID     int64    `json:"kiosk_id"`
}
