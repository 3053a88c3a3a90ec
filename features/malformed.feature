@malformed
Feature: Odd and malformed PDUs

  A peer that sends what it should not harms itself at most. Its session goes on as long as
  it is clear where the next PDU begins; all others go on in any case. The octets are in
  testdata/malformed.

  Scenario Outline: An ESME sends <octets>
    Given a running gateway
    When "foo" binds as transceiver
    And another session of "foo" sends the octets of "<octets>" and is answered "<answer>", and <fate>
    And "foo" submits a message
    Then "foo" is answered ESME_ROK
    And the SMSC gets <messages> messages

    Examples:
      | octets                        | answer                                     | fate    | messages |
      | truncated_body                | submit_sm_resp ESME_RINVCMDLEN             | goes on | 1        |
      | no_body                       | submit_sm_resp ESME_RINVCMDLEN             | goes on | 1        |
      | garbage_body                  | submit_sm_resp ESME_RINVCMDLEN             | goes on | 1        |
      | sm_length_beyond_the_end      | submit_sm_resp ESME_RINVMSGLEN             | goes on | 1        |
      | tlv_beyond_the_end            | submit_sm_resp ESME_RINVOPTPARSTREAM       | goes on | 1        |
      | unterminated_text             | submit_sm_resp ESME_RINVCMDLEN             | goes on | 1        |
      | unknown_command               | generic_nack ESME_RINVCMDID                | goes on | 1        |
      | v5_command                    | generic_nack ESME_RINVCMDID                | goes on | 1        |
      | unknown_tlv                   | submit_sm_resp ESME_ROK                    | goes on | 2        |
      | nul_before_the_tlvs           | submit_sm_resp ESME_ROK                    | goes on | 2        |
      | zero_length_fields            | submit_sm_resp ESME_RINVDSTADR             | goes on | 1        |
      | payload_64_kib                | submit_sm_resp ESME_ROK                    | goes on | 2        |
      | duplicate_sequence            | submit_sm_resp ESME_ROK, submit_sm_resp ESME_ROK | goes on | 3  |
      | response_to_nothing           |                                            | goes on | 1        |
      | malformed_response_to_nothing |                                            | goes on | 1        |
      | unknown_response              |                                            | goes on | 1        |
      | error_response_with_a_body    |                                            | goes on | 1        |
      | generic_nack_to_nothing       |                                            | goes on | 1        |
      | bind_twice                    | bind_transceiver_resp ESME_RALYBND         | goes on | 1        |
      | length_below_16               | generic_nack ESME_RINVCMDLEN               | ends    | 1        |
      | length_zero                   | generic_nack ESME_RINVCMDLEN               | ends    | 1        |
      | length_4_gib                  | generic_nack ESME_RINVCMDLEN               | ends    | 1        |
      | http                          | generic_nack ESME_RINVCMDLEN               | ends    | 1        |

  Scenario Outline: An SMSC sends <octets> <when>
    Given a connector "odd" to an SMSC that sends the octets of "<octets>" <when>
    And a connector "good" to the SMSC "good"
    And everything is routed to "odd"
    And numbers that begin with "44" are routed to "good"
    And a running gateway
    When "foo" binds as transceiver
    And "foo" submits a message
    And "foo" submits a message
    And "foo" submits a message with:
      | to | 4412345 |
    Then the SMSC "good" gets the message
    And the SMSC "good" has seen 1 connection
    And that SMSC has got <messages> messages on <connections> connections

    Examples:
      | octets                     | when                           | messages | connections |
      | bind_refused_17_octets     | as its first answer to a bind  | 2        | 2           |
      | unknown_command            | before its first answer        | 2        | 1           |
      | response_to_nothing        | before its first answer        | 2        | 1           |
      | error_response_with_a_body | before its first answer        | 2        | 1           |
      | generic_nack_to_nothing    | before its first answer        | 2        | 1           |
      | deliver_truncated          | before its first answer        | 2        | 1           |
      | deliver_garbage            | before its first answer        | 2        | 1           |
      | deliver_zero_length_fields | before its first answer        | 2        | 1           |
      | deliver_receipt_of_nothing | before its first answer        | 2        | 1           |
      | deliver_payload_64_kib     | before its first answer        | 2        | 1           |
