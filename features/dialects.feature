@dlr @connector
Feature: Every dialect of receipts finds its message

  SMSCs number messages in one form and name them in their receipts in another, leave fields
  out, write states and errors in their own way, and send receipts before, with or after the answer to
  the submission. Each customer gets the DLR of his own message all the same.

  Scenario Outline: <dialect>
    Given the SMSC numbers messages in <answer>
    And the SMSC describes its receipts by <receipt>
    And the SMSC sends receipts half a second before, with and half a second after its answers
    And the connector has:
      | dlr_msgid | <dlr_msgid> |
      | binds     | 2           |
    And a running gateway
    When 3 messages are sent for each moment of a receipt
    Then the page is told of each of them by its id at the SMSC, with the status DELIVRD and err <err>

    Examples: forms of ids
      | dialect                                     | dlr_msgid | answer    | receipt                                            | err |
      | decimal                                     | 0         | decimal   | {"form": "both"}                                   | 000 |
      | hexadecimal in small letters                | 0         | hex       | {"form": "text"}                                   | 000 |
      | small letters, receipts in capitals         | 0         | hex       | {"form": "text", "id": "upper"}                    | 000 |
      | capitals, receipts in small letters         | 0         | HEX       | {"form": "text", "id": "lower"}                    | 000 |
      | hexadecimal, receipts decimal               | 1         | hex       | {"form": "text", "id": "decimal"}                  | 000 |
      | decimal, receipts hexadecimal               | 2         | decimal   | {"form": "text", "id": "HEX"}                      | 000 |
      | 64-bit decimal                              | 0         | decimal64 | {"form": "text"}                                   | 000 |
      | 64-bit hexadecimal, receipts decimal        | 1         | hex64     | {"form": "text", "id": "decimal"}                  | 000 |
      | 64-bit decimal, receipts hexadecimal        | 2         | decimal64 | {"form": "text", "id": "hex"}                      | 000 |
      | zeros in front in receipts                  | 0         | decimal   | {"form": "text", "id_width": 24}                   | 000 |
      | zeros in front of decimal receipts, by auto | auto      | hex       | {"form": "text", "id": "decimal", "id_width": 24}  | 000 |
      | hexadecimal receipts, by auto               | auto      | decimal   | {"form": "text", "id": "hex"}                      | 000 |
      | UUID                                        | 0         | uuid      | {"form": "text"}                                   | 000 |
      | UUID, receipts in capitals                  | auto      | uuid      | {"form": "text", "id": "upper"}                    | 000 |

    Examples: where the id and the state stand
      | dialect                                    | dlr_msgid | answer  | receipt                                              | err |
      | TLVs only                                  | 0         | decimal | {"form": "tlv"}                                      | ND  |
      | another id in the text than in the TLV     | 0         | decimal | {"form": "both", "id": "other", "tlv_id": "same"}    | 000 |
      | another id in the TLV than in the text     | 0         | decimal | {"form": "both", "id": "same", "tlv_id": "other"}    | 000 |
      | the TLV in another base than the text      | auto      | hex     | {"form": "both", "id": "same", "tlv_id": "decimal"}  | 000 |
      | text in message_payload                    | 0         | decimal | {"form": "payload"}                                  | 000 |
      | data_sm                                    | 0         | decimal | {"form": "data_sm"}                                  | 000 |
      | on another bind                            | 0         | decimal | {"form": "text", "bind": "other"}                    | 000 |
      | esm_class 0                                | 0         | decimal | {"form": "text", "esm_class": 0}                     | 000 |
      | intermediate states before it              | 0         | decimal | {"form": "both", "intermediate": ["SCHEDLD"]}        | 000 |

    Examples: ways of writing
      | dialect                | dlr_msgid | answer  | receipt                                                                                                                                                           | err  |
      | without sub and dlvrd  | 0         | decimal | {"form": "text", "template": "id:{id} submit date:{submit_date} done date:{done_date} stat:{state} err:{err} text:{text}"}                                        | 000  |
      | a state of 6 letters   | 0         | decimal | {"form": "text", "template": "id:{id} sub:001 dlvrd:001 submit date:{submit_date} done date:{done_date} stat:DELIVR err:{err} text:{text}"}                       | 000  |
      | a state of 8 letters   | 0         | decimal | {"form": "text", "template": "id:{id} sub:001 dlvrd:001 submit date:{submit_date} done date:{done_date} stat:DELIVERD err:{err} text:{text}"}                     | 000  |
      | an err of 4 digits     | 0         | decimal | {"form": "text", "template": "id:{id} sub:001 dlvrd:001 submit date:{submit_date} done date:{done_date} stat:{state} err:0{err} text:{text}"}                     | 0000 |
      | Text with a capital    | 0         | decimal | {"form": "text", "template": "id:{id} sub:001 dlvrd:001 submit date:{submit_date} done date:{done_date} stat:{state} err:{err} Text:{text}"}                      | 000  |
      | blanks where none are  | 0         | decimal | {"form": "text", "template": "  id: {id}   sub:001  dlvrd: 001 submit  date: {submit_date}  done date : {done_date} stat: {state}  err: {err}   Text: {text}"}    | 000  |
      | dates with seconds     | 0         | decimal | {"form": "text", "template": "id:{id} sub:001 dlvrd:001 submit date:{submit_date_s} done date:{done_date_s} stat:{state} err:{err} text:{text}"}                  | 000  |
      | all in capitals        | 0         | decimal | {"form": "text", "template": "ID:{id} SUB:001 DLVRD:001 SUBMIT DATE:{submit_date} DONE DATE:{done_date} STAT:{state} ERR:{err} TEXT:{text}"}                      | 000  |
      | another order          | 0         | decimal | {"form": "text", "template": "stat:{state} err:{err} id:{id} done date:{done_date} submit date:{submit_date} text:{text}"}                                        | 000  |
