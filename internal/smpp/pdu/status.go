package pdu

import (
	"fmt"
	"strconv"
	"strings"
)

// Status is the command_status of a response (SMPP v3.4 §5.1.3).
type Status uint32

// The command_status values of SMPP v3.4 §5.1.3.
const (
	StatusOK              Status = 0x00000000 // no error
	StatusInvMsgLen       Status = 0x00000001 // message length is invalid
	StatusInvCmdLen       Status = 0x00000002 // command length is invalid
	StatusInvCmdID        Status = 0x00000003 // command id is invalid
	StatusInvBndSts       Status = 0x00000004 // wrong bind status for the command
	StatusAlyBnd          Status = 0x00000005 // already bound
	StatusInvPrtFlg       Status = 0x00000006 // priority flag is invalid
	StatusInvRegDlvFlg    Status = 0x00000007 // registered delivery flag is invalid
	StatusSysErr          Status = 0x00000008 // system error
	StatusInvSrcAdr       Status = 0x0000000A // source address is invalid
	StatusInvDstAdr       Status = 0x0000000B // destination address is invalid
	StatusInvMsgID        Status = 0x0000000C // message id is invalid
	StatusBindFail        Status = 0x0000000D // bind failed
	StatusInvPaswd        Status = 0x0000000E // password is invalid
	StatusInvSysID        Status = 0x0000000F // system id is invalid
	StatusCancelFail      Status = 0x00000011 // cancel_sm failed
	StatusReplaceFail     Status = 0x00000013 // replace_sm failed
	StatusMsgQFul         Status = 0x00000014 // message queue is full
	StatusInvSerTyp       Status = 0x00000015 // service type is invalid
	StatusInvNumDests     Status = 0x00000033 // number of destinations is invalid
	StatusInvDLName       Status = 0x00000034 // distribution list name is invalid
	StatusInvDestFlag     Status = 0x00000040 // destination flag of submit_multi is invalid
	StatusInvSubRep       Status = 0x00000042 // submit with replace is invalid
	StatusInvESMClass     Status = 0x00000043 // esm_class is invalid
	StatusCntSubDL        Status = 0x00000044 // cannot submit to the distribution list
	StatusSubmitFail      Status = 0x00000045 // submit_sm or submit_multi failed
	StatusInvSrcTON       Status = 0x00000048 // source TON is invalid
	StatusInvSrcNPI       Status = 0x00000049 // source NPI is invalid
	StatusInvDstTON       Status = 0x00000050 // destination TON is invalid
	StatusInvDstNPI       Status = 0x00000051 // destination NPI is invalid
	StatusInvSysTyp       Status = 0x00000053 // system type is invalid
	StatusInvRepFlag      Status = 0x00000054 // replace_if_present flag is invalid
	StatusInvNumMsgs      Status = 0x00000055 // number of messages is invalid
	StatusThrottled       Status = 0x00000058 // allowed message rate exceeded
	StatusInvSched        Status = 0x00000061 // scheduled delivery time is invalid
	StatusInvExpiry       Status = 0x00000062 // validity period is invalid
	StatusInvDftMsgID     Status = 0x00000063 // predefined message is invalid or unknown
	StatusRxTAppn         Status = 0x00000064 // receiver: temporary application error
	StatusRxPAppn         Status = 0x00000065 // receiver: permanent application error
	StatusRxRAppn         Status = 0x00000066 // receiver: message rejected
	StatusQueryFail       Status = 0x00000067 // query_sm failed
	StatusInvOptParStream Status = 0x000000C0 // optional part of the body is malformed
	StatusOptParNotAllwd  Status = 0x000000C1 // optional parameter is not allowed
	StatusInvParLen       Status = 0x000000C2 // parameter length is invalid
	StatusMissingOptParam Status = 0x000000C3 // expected optional parameter is missing
	StatusInvOptParamVal  Status = 0x000000C4 // optional parameter value is invalid
	StatusDeliveryFailure Status = 0x000000FE // delivery failed (data_sm_resp)
	StatusUnknownErr      Status = 0x000000FF // unknown error
)

// The command_status values that SMPP v5.0 §4.7.6 adds.
const (
	StatusSerTypUnauth      Status = 0x00000100 // service type is not authorised
	StatusProhibited        Status = 0x00000101 // operation is prohibited
	StatusSerTypUnavail     Status = 0x00000102 // service type is unavailable
	StatusSerTypDenied      Status = 0x00000103 // service type is denied
	StatusInvDCS            Status = 0x00000104 // data coding is invalid
	StatusInvSrcAddrSubunit Status = 0x00000105 // source address subunit is invalid
	StatusInvDstAddrSubunit Status = 0x00000106 // destination address subunit is invalid
	StatusInvBcastFreqInt   Status = 0x00000107 // broadcast frequency interval is invalid
	StatusInvBcastAliasName Status = 0x00000108 // broadcast alias name is invalid
	StatusInvBcastAreaFmt   Status = 0x00000109 // broadcast area format is invalid
	StatusInvNumBcastAreas  Status = 0x0000010A // number of broadcast areas is invalid
	StatusInvBcastCntType   Status = 0x0000010B // broadcast content type is invalid
	StatusInvBcastMsgClass  Status = 0x0000010C // broadcast message class is invalid
	StatusBcastFail         Status = 0x0000010D // broadcast_sm failed
	StatusBcastQueryFail    Status = 0x0000010E // query_broadcast_sm failed
	StatusBcastCancelFail   Status = 0x0000010F // cancel_broadcast_sm failed
	StatusInvBcastRep       Status = 0x00000110 // number of broadcast repetitions is invalid
	StatusInvBcastSrvGrp    Status = 0x00000111 // broadcast service group is invalid
	StatusInvBcastChanInd   Status = 0x00000112 // broadcast channel indicator is invalid
)

// String is the specification's name, such as ESME_RTHROTTLED, or the value in
// hexadecimal when it has none: 0x00000400. Values 0xC0 to 0xC4 go by their
// v3.4 names.
func (s Status) String() string {
	switch s {
	case StatusOK:
		return "ESME_ROK"
	case StatusInvMsgLen:
		return "ESME_RINVMSGLEN"
	case StatusInvCmdLen:
		return "ESME_RINVCMDLEN"
	case StatusInvCmdID:
		return "ESME_RINVCMDID"
	case StatusInvBndSts:
		return "ESME_RINVBNDSTS"
	case StatusAlyBnd:
		return "ESME_RALYBND"
	case StatusInvPrtFlg:
		return "ESME_RINVPRTFLG"
	case StatusInvRegDlvFlg:
		return "ESME_RINVREGDLVFLG"
	case StatusSysErr:
		return "ESME_RSYSERR"
	case StatusInvSrcAdr:
		return "ESME_RINVSRCADR"
	case StatusInvDstAdr:
		return "ESME_RINVDSTADR"
	case StatusInvMsgID:
		return "ESME_RINVMSGID"
	case StatusBindFail:
		return "ESME_RBINDFAIL"
	case StatusInvPaswd:
		return "ESME_RINVPASWD"
	case StatusInvSysID:
		return "ESME_RINVSYSID"
	case StatusCancelFail:
		return "ESME_RCANCELFAIL"
	case StatusReplaceFail:
		return "ESME_RREPLACEFAIL"
	case StatusMsgQFul:
		return "ESME_RMSGQFUL"
	case StatusInvSerTyp:
		return "ESME_RINVSERTYP"
	case StatusInvNumDests:
		return "ESME_RINVNUMDESTS"
	case StatusInvDLName:
		return "ESME_RINVDLNAME"
	case StatusInvDestFlag:
		return "ESME_RINVDESTFLAG"
	case StatusInvSubRep:
		return "ESME_RINVSUBREP"
	case StatusInvESMClass:
		return "ESME_RINVESMCLASS"
	case StatusCntSubDL:
		return "ESME_RCNTSUBDL"
	case StatusSubmitFail:
		return "ESME_RSUBMITFAIL"
	case StatusInvSrcTON:
		return "ESME_RINVSRCTON"
	case StatusInvSrcNPI:
		return "ESME_RINVSRCNPI"
	case StatusInvDstTON:
		return "ESME_RINVDSTTON"
	case StatusInvDstNPI:
		return "ESME_RINVDSTNPI"
	case StatusInvSysTyp:
		return "ESME_RINVSYSTYP"
	case StatusInvRepFlag:
		return "ESME_RINVREPFLAG"
	case StatusInvNumMsgs:
		return "ESME_RINVNUMMSGS"
	case StatusThrottled:
		return "ESME_RTHROTTLED"
	case StatusInvSched:
		return "ESME_RINVSCHED"
	case StatusInvExpiry:
		return "ESME_RINVEXPIRY"
	case StatusInvDftMsgID:
		return "ESME_RINVDFTMSGID"
	case StatusRxTAppn:
		return "ESME_RX_T_APPN"
	case StatusRxPAppn:
		return "ESME_RX_P_APPN"
	case StatusRxRAppn:
		return "ESME_RX_R_APPN"
	case StatusQueryFail:
		return "ESME_RQUERYFAIL"
	case StatusInvOptParStream:
		return "ESME_RINVOPTPARSTREAM"
	case StatusOptParNotAllwd:
		return "ESME_ROPTPARNOTALLWD"
	case StatusInvParLen:
		return "ESME_RINVPARLEN"
	case StatusMissingOptParam:
		return "ESME_RMISSINGOPTPARAM"
	case StatusInvOptParamVal:
		return "ESME_RINVOPTPARAMVAL"
	case StatusDeliveryFailure:
		return "ESME_RDELIVERYFAILURE"
	case StatusUnknownErr:
		return "ESME_RUNKNOWNERR"
	case StatusSerTypUnauth:
		return "ESME_RSERTYPUNAUTH"
	case StatusProhibited:
		return "ESME_RPROHIBITED"
	case StatusSerTypUnavail:
		return "ESME_RSERTYPUNAVAIL"
	case StatusSerTypDenied:
		return "ESME_RSERTYPDENIED"
	case StatusInvDCS:
		return "ESME_RINVDCS"
	case StatusInvSrcAddrSubunit:
		return "ESME_RINVSRCADDRSUBUNIT"
	case StatusInvDstAddrSubunit:
		return "ESME_RINVDSTADDRSUBUNIT"
	case StatusInvBcastFreqInt:
		return "ESME_RINVBCASTFREQINT"
	case StatusInvBcastAliasName:
		return "ESME_RINVBCASTALIAS_NAME"
	case StatusInvBcastAreaFmt:
		return "ESME_RINVBCASTAREAFMT"
	case StatusInvNumBcastAreas:
		return "ESME_RINVNUMBCAST_AREAS"
	case StatusInvBcastCntType:
		return "ESME_RINVBCASTCNTTYPE"
	case StatusInvBcastMsgClass:
		return "ESME_RINVBCASTMSGCLASS"
	case StatusBcastFail:
		return "ESME_RBCASTFAIL"
	case StatusBcastQueryFail:
		return "ESME_RBCASTQUERYFAIL"
	case StatusBcastCancelFail:
		return "ESME_RBCASTCANCELFAIL"
	case StatusInvBcastRep:
		return "ESME_RINVBCAST_REP"
	case StatusInvBcastSrvGrp:
		return "ESME_RINVBCASTSRVGRP"
	case StatusInvBcastChanInd:
		return "ESME_RINVBCASTCHANIND"
	}
	return fmt.Sprintf("0x%08X", uint32(s))
}

// statusByName holds the inverse of String and the names that v5.0 gives to
// values which v3.4 calls otherwise.
var statusByName = func() map[string]Status {
	m := map[string]Status{
		"ESME_RINVTLVSTREAM": StatusInvOptParStream,
		"ESME_RTLVNOTALLWD":  StatusOptParNotAllwd,
		"ESME_RINVTLVLEN":    StatusInvParLen,
		"ESME_RMISSINGTLV":   StatusMissingOptParam,
		"ESME_RINVTLVVAL":    StatusInvOptParamVal,
	}
	for s := range Status(0x200) {
		if n := s.String(); strings.HasPrefix(n, "ESME_") {
			m[n] = s
		}
	}
	return m
}()

// ParseStatus is the inverse of String. It also takes names without ESME_, names
// in lower case, the v5.0 names of 0xC0 to 0xC4, and numbers (88, 0x58).
func ParseStatus(name string) (Status, bool) {
	name = strings.ToUpper(name)
	if s, ok := statusByName[name]; ok {
		return s, true
	}
	if s, ok := statusByName["ESME_"+name]; ok {
		return s, true
	}
	base := 10
	if hex, ok := strings.CutPrefix(name, "0X"); ok {
		name, base = hex, 16
	}
	n, err := strconv.ParseUint(name, base, 32)
	return Status(n), err == nil
}
