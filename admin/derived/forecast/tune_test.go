package forecast
import ("os";"strconv")
func kiosksTried() int { if v,err:=strconv.Atoi(os.Getenv("KN"));err==nil {return v}; return 40 }
func seedTried() uint64 { if v,err:=strconv.Atoi(os.Getenv("KS"));err==nil {return uint64(v)}; return 11 }
