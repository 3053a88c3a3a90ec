package pdu

import (
	"fmt"
	"strconv"
	"strings"
)

// Optional parameters of SMPP v3.4 §5.3.2.
const (
	TagDestAddrSubunit          Tag = 0x0005 // dest_addr_subunit
	TagDestNetworkType          Tag = 0x0006 // dest_network_type
	TagDestBearerType           Tag = 0x0007 // dest_bearer_type
	TagDestTelematicsID         Tag = 0x0008 // dest_telematics_id
	TagSourceAddrSubunit        Tag = 0x000D // source_addr_subunit
	TagSourceNetworkType        Tag = 0x000E // source_network_type
	TagSourceBearerType         Tag = 0x000F // source_bearer_type
	TagSourceTelematicsID       Tag = 0x0010 // source_telematics_id
	TagQOSTimeToLive            Tag = 0x0017 // qos_time_to_live
	TagPayloadType              Tag = 0x0019 // payload_type
	TagAdditionalStatusInfoText Tag = 0x001D // additional_status_info_text
	TagReceiptedMessageID       Tag = 0x001E // receipted_message_id
	TagMSMsgWaitFacilities      Tag = 0x0030 // ms_msg_wait_facilities
	TagPrivacyIndicator         Tag = 0x0201 // privacy_indicator
	TagSourceSubaddress         Tag = 0x0202 // source_subaddress
	TagDestSubaddress           Tag = 0x0203 // dest_subaddress
	TagUserMessageReference     Tag = 0x0204 // user_message_reference
	TagUserResponseCode         Tag = 0x0205 // user_response_code
	TagSourcePort               Tag = 0x020A // source_port
	TagDestinationPort          Tag = 0x020B // destination_port
	TagSARMsgRefNum             Tag = 0x020C // sar_msg_ref_num
	TagLanguageIndicator        Tag = 0x020D // language_indicator
	TagSARTotalSegments         Tag = 0x020E // sar_total_segments
	TagSARSegmentSeqnum         Tag = 0x020F // sar_segment_seqnum
	TagSCInterfaceVersion       Tag = 0x0210 // sc_interface_version
	TagCallbackNumPresInd       Tag = 0x0302 // callback_num_pres_ind
	TagCallbackNumAtag          Tag = 0x0303 // callback_num_atag
	TagNumberOfMessages         Tag = 0x0304 // number_of_messages
	TagCallbackNum              Tag = 0x0381 // callback_num
	TagDPFResult                Tag = 0x0420 // dpf_result
	TagSetDPF                   Tag = 0x0421 // set_dpf
	TagMSAvailabilityStatus     Tag = 0x0422 // ms_availability_status
	TagNetworkErrorCode         Tag = 0x0423 // network_error_code
	TagMessagePayload           Tag = 0x0424 // message_payload
	TagDeliveryFailureReason    Tag = 0x0425 // delivery_failure_reason
	TagMoreMessagesToSend       Tag = 0x0426 // more_messages_to_send
	TagMessageState             Tag = 0x0427 // message_state
	TagUSSDServiceOp            Tag = 0x0501 // ussd_service_op
	TagDisplayTime              Tag = 0x1201 // display_time
	TagSMSSignal                Tag = 0x1203 // sms_signal
	TagMSValidity               Tag = 0x1204 // ms_validity
	TagAlertOnMessageDelivery   Tag = 0x130C // alert_on_message_delivery
	TagITSReplyType             Tag = 0x1380 // its_reply_type
	TagITSSessionInfo           Tag = 0x1383 // its_session_info
)

// Optional parameters that SMPP v5.0 §4.8.4 adds.
const (
	TagCongestionState            Tag = 0x0428 // congestion_state
	TagBroadcastChannelIndicator  Tag = 0x0600 // broadcast_channel_indicator
	TagBroadcastContentType       Tag = 0x0601 // broadcast_content_type
	TagBroadcastContentTypeInfo   Tag = 0x0602 // broadcast_content_type_info
	TagBroadcastMessageClass      Tag = 0x0603 // broadcast_message_class
	TagBroadcastRepNum            Tag = 0x0604 // broadcast_rep_num
	TagBroadcastFrequencyInterval Tag = 0x0605 // broadcast_frequency_interval
	TagBroadcastAreaIdentifier    Tag = 0x0606 // broadcast_area_identifier
	TagBroadcastErrorStatus       Tag = 0x0607 // broadcast_error_status
	TagBroadcastAreaSuccess       Tag = 0x0608 // broadcast_area_success
	TagBroadcastEndTime           Tag = 0x0609 // broadcast_end_time
	TagBroadcastServiceGroup      Tag = 0x060A // broadcast_service_group
	TagBillingIdentification      Tag = 0x060B // billing_identification
	TagSourceNetworkID            Tag = 0x060D // source_network_id
	TagDestNetworkID              Tag = 0x060E // dest_network_id
	TagSourceNodeID               Tag = 0x060F // source_node_id
	TagDestNodeID                 Tag = 0x0610 // dest_node_id
	TagDestAddrNPResolution       Tag = 0x0611 // dest_addr_np_resolution
	TagDestAddrNPInformation      Tag = 0x0612 // dest_addr_np_information
	TagDestAddrNPCountry          Tag = 0x0613 // dest_addr_np_country
)

// Tags 0x1400 to 0x3FFF belong to SMSC vendors (SMPP v3.4 §5.3.1).
const (
	vendorTagFirst Tag = 0x1400
	vendorTagLast  Tag = 0x3FFF
)

// IsVendor reports whether the tag lies in the range left to SMSC vendors.
func (t Tag) IsVendor() bool { return t >= vendorTagFirst && t <= vendorTagLast }

// String is the specification's name, such as receipted_message_id, or the
// value in hexadecimal, such as 0x1401, when it has none.
func (t Tag) String() string {
	switch t {
	case TagDestAddrSubunit:
		return "dest_addr_subunit"
	case TagDestNetworkType:
		return "dest_network_type"
	case TagDestBearerType:
		return "dest_bearer_type"
	case TagDestTelematicsID:
		return "dest_telematics_id"
	case TagSourceAddrSubunit:
		return "source_addr_subunit"
	case TagSourceNetworkType:
		return "source_network_type"
	case TagSourceBearerType:
		return "source_bearer_type"
	case TagSourceTelematicsID:
		return "source_telematics_id"
	case TagQOSTimeToLive:
		return "qos_time_to_live"
	case TagPayloadType:
		return "payload_type"
	case TagAdditionalStatusInfoText:
		return "additional_status_info_text"
	case TagReceiptedMessageID:
		return "receipted_message_id"
	case TagMSMsgWaitFacilities:
		return "ms_msg_wait_facilities"
	case TagPrivacyIndicator:
		return "privacy_indicator"
	case TagSourceSubaddress:
		return "source_subaddress"
	case TagDestSubaddress:
		return "dest_subaddress"
	case TagUserMessageReference:
		return "user_message_reference"
	case TagUserResponseCode:
		return "user_response_code"
	case TagSourcePort:
		return "source_port"
	case TagDestinationPort:
		return "destination_port"
	case TagSARMsgRefNum:
		return "sar_msg_ref_num"
	case TagLanguageIndicator:
		return "language_indicator"
	case TagSARTotalSegments:
		return "sar_total_segments"
	case TagSARSegmentSeqnum:
		return "sar_segment_seqnum"
	case TagSCInterfaceVersion:
		return "sc_interface_version"
	case TagCallbackNumPresInd:
		return "callback_num_pres_ind"
	case TagCallbackNumAtag:
		return "callback_num_atag"
	case TagNumberOfMessages:
		return "number_of_messages"
	case TagCallbackNum:
		return "callback_num"
	case TagDPFResult:
		return "dpf_result"
	case TagSetDPF:
		return "set_dpf"
	case TagMSAvailabilityStatus:
		return "ms_availability_status"
	case TagNetworkErrorCode:
		return "network_error_code"
	case TagMessagePayload:
		return "message_payload"
	case TagDeliveryFailureReason:
		return "delivery_failure_reason"
	case TagMoreMessagesToSend:
		return "more_messages_to_send"
	case TagMessageState:
		return "message_state"
	case TagUSSDServiceOp:
		return "ussd_service_op"
	case TagDisplayTime:
		return "display_time"
	case TagSMSSignal:
		return "sms_signal"
	case TagMSValidity:
		return "ms_validity"
	case TagAlertOnMessageDelivery:
		return "alert_on_message_delivery"
	case TagITSReplyType:
		return "its_reply_type"
	case TagITSSessionInfo:
		return "its_session_info"
	case TagCongestionState:
		return "congestion_state"
	case TagBroadcastChannelIndicator:
		return "broadcast_channel_indicator"
	case TagBroadcastContentType:
		return "broadcast_content_type"
	case TagBroadcastContentTypeInfo:
		return "broadcast_content_type_info"
	case TagBroadcastMessageClass:
		return "broadcast_message_class"
	case TagBroadcastRepNum:
		return "broadcast_rep_num"
	case TagBroadcastFrequencyInterval:
		return "broadcast_frequency_interval"
	case TagBroadcastAreaIdentifier:
		return "broadcast_area_identifier"
	case TagBroadcastErrorStatus:
		return "broadcast_error_status"
	case TagBroadcastAreaSuccess:
		return "broadcast_area_success"
	case TagBroadcastEndTime:
		return "broadcast_end_time"
	case TagBroadcastServiceGroup:
		return "broadcast_service_group"
	case TagBillingIdentification:
		return "billing_identification"
	case TagSourceNetworkID:
		return "source_network_id"
	case TagDestNetworkID:
		return "dest_network_id"
	case TagSourceNodeID:
		return "source_node_id"
	case TagDestNodeID:
		return "dest_node_id"
	case TagDestAddrNPResolution:
		return "dest_addr_np_resolution"
	case TagDestAddrNPInformation:
		return "dest_addr_np_information"
	case TagDestAddrNPCountry:
		return "dest_addr_np_country"
	}
	return fmt.Sprintf("0x%04X", uint16(t))
}

var tagByName = func() map[string]Tag {
	m := make(map[string]Tag)
	for t := range vendorTagFirst {
		if n := t.String(); !strings.HasPrefix(n, "0x") {
			m[n] = t
		}
	}
	return m
}()

// ParseTag is the inverse of String; it also takes decimal numbers.
func ParseTag(name string) (Tag, bool) {
	name = strings.ToLower(name)
	if t, ok := tagByName[name]; ok {
		return t, true
	}
	base := 10
	if hex, ok := strings.CutPrefix(name, "0x"); ok {
		name, base = hex, 16
	}
	n, err := strconv.ParseUint(name, base, 16)
	return Tag(n), err == nil
}
